"""On a client's page: its keys, its widget, and what it would answer."""

import secrets
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_POST, require_safe

from chat.llms import LlmError
from chat.serializers import LONGEST_QUESTION
from chat.widget.snippet import embed_snippet
from chat.workflow.preview import preview
from tenants import audit, keys, shown_once
from tenants.admin import revoke
from tenants.desk import Panel, add_panel, back_to, for_client
from tenants.errors import ApiError
from tenants.models import ApiKey, Client, WidgetConfig

PLACEHOLDER = "YOUR-PUBLISHABLE-KEY"
# The preview is a page with scripts of its own, shown in a frame of the desk.
PREVIEW_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; connect-src 'self'; "
    "img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self' 'nonce-{nonce}'"
)
ROTATION_OVERLAP = timedelta(days=1)
KEYS_SHOWN = 20
WIDGET_OPTIONS = {
    "primary_color": "primaryColor",
    "position": "position",
    "welcome_message": "welcomeMessage",
    "widget_name": "widgetName",
}


# --- keys ----------------------------------------------------------------------------------------------------------


def _keys(request: HttpRequest, client: Client) -> dict[str, Any]:
    rows = list(ApiKey.objects.filter(client=client)[:KEYS_SHOWN])
    may_change = request.user.has_perm("tenants.add_apikey")  # type: ignore[union-attr]
    return {"keys": rows, "scopes": keys.SCOPES, "may_change": may_change, "overlap": "24 hours"}


@require_POST
@for_client("tenants.add_apikey")
def make_key(request: HttpRequest, client: Client) -> HttpResponse:
    """Mint a key. The page that shows it comes after a redirect, so that a reload makes no other."""
    kind = request.POST.get("kind", "")
    scopes = request.POST.getlist("scopes") if kind == ApiKey.Kind.SECRET else ()
    if kind not in ApiKey.Kind.values:
        messages.error(request, "Choose what kind of key it is.")
        return back_to(client, "keys")
    try:
        row, key = keys.mint(client.pk, kind, name=request.POST.get("name", "")[:100], scopes=scopes)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return back_to(client, "keys")
    audit.note(request, "make key", row, {}, {"kind": row.kind, "scopes": row.scopes})
    return _to_be_shown(request, row, key)


@require_POST
@for_client("tenants.add_apikey")
def rotate_key(request: HttpRequest, client: Client, key_id: int) -> HttpResponse:
    """A new key like the old one, which goes on working for ROTATION_OVERLAP."""
    row = get_object_or_404(ApiKey, pk=key_id, client=client, revoked=None)
    new, key = keys.rotate(row, ROTATION_OVERLAP)
    audit.note(request, "rotate key", new, {"hint": row.hint}, {"hint": new.hint})
    return _to_be_shown(request, new, key)


@require_POST
@for_client("tenants.add_apikey")
def revoke_key(request: HttpRequest, client: Client, key_id: int) -> HttpResponse:
    row = get_object_or_404(ApiKey, pk=key_id, client=client)
    revoke(request, row)
    messages.success(request, f"{row.hint} is revoked: it stops working within two seconds.")
    return back_to(client, "keys")


def _to_be_shown(request: HttpRequest, row: ApiKey, key: str) -> HttpResponse:
    shown_once.keep(request, row.pk, key)
    return HttpResponseRedirect(reverse("admin:client_key_made", args=(row.client_id, row.pk)))


@never_cache
@require_GET
@for_client("tenants.add_apikey")
def key_made(request: HttpRequest, client: Client, key_id: int) -> HttpResponse:
    """The new key, to whoever made it and once; after that the page says so."""
    row = get_object_or_404(ApiKey, pk=key_id, client=client)
    key = shown_once.take(request, row.pk)
    snippet = embed_snippet(settings.PUBLIC_URL, key) if key and row.kind == ApiKey.Kind.PUBLISHABLE else ""
    context = {"title": "A new key", "client": client, "key": key, "row": row, "snippet": snippet}
    return _page(request, "admin/desk/key_made.html", context)


# --- the widget ----------------------------------------------------------------------------------------------------


def _widget(request: HttpRequest, client: Client) -> dict[str, Any]:
    config = WidgetConfig.objects.filter(client=client).first()
    return {"config": config, "snippet": embed_snippet(settings.PUBLIC_URL, PLACEHOLDER), "placeholder": PLACEHOLDER}


@xframe_options_sameorigin
@require_safe
@for_client("tenants.view_widgetconfig")
def show_widget(request: HttpRequest, client: Client) -> HttpResponse:
    """A page with the real widget on it, set up as saved, or as the form that shows this preview is filled in."""
    request.polled = "widget"  # type: ignore[attr-defined]  # drawn anew while somebody types
    config = WidgetConfig.objects.filter(client=client).first() or WidgetConfig()
    looks = {option: getattr(config, field) for field, option in WIDGET_OPTIONS.items()}
    drafted = {option: request.GET[field] for field, option in WIDGET_OPTIONS.items() if field in request.GET}
    nonce = secrets.token_urlsafe(16)
    shown = {"widget": {**config.options, **looks, **drafted}, "nonce": nonce}
    response = render(request, "admin/desk/widget_preview.html", shown)
    response["Content-Security-Policy"] = PREVIEW_POLICY.format(nonce=nonce)
    return response


# --- an answer -----------------------------------------------------------------------------------------------------


@require_POST
@for_client("tenants.ask_as_client")
def ask(request: HttpRequest, client: Client) -> HttpResponse:
    """A question answered as the client's widget would; nothing is stored, billed or cached."""
    question = request.POST.get("question", "").strip()[:LONGEST_QUESTION]
    if not question:
        return render(request, "admin/desk/answer.html", {"error": "Write a question first."})
    audit.note(request, "ask as client", client)
    try:
        found = async_to_sync(preview)(client, question)
    except (ApiError, LlmError) as error:
        return render(request, "admin/desk/answer.html", {"error": str(error)})
    costs = request.user.has_perm("tenants.see_costs")  # type: ignore[union-attr]
    return render(request, "admin/desk/answer.html", {"found": found, "costs": costs})


ask.scopes_itself = True  # type: ignore[attr-defined]  # a model may take its time; no transaction waits for it


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


add_panel(
    Panel(
        title="Keys",
        template="admin/desk/keys.html",
        permission="tenants.view_apikey",
        data=_keys,
        place=10,
        anchor="keys",
        urls=(
            ("keys/make/", "client_make_key", make_key),
            ("keys/<int:key_id>/made/", "client_key_made", key_made),
            ("keys/<int:key_id>/rotate/", "client_rotate_key", rotate_key),
            ("keys/<int:key_id>/revoke/", "client_revoke_key", revoke_key),
        ),
    )
)
add_panel(
    Panel(
        title="Widget",
        template="admin/desk/widget.html",
        permission="tenants.view_widgetconfig",
        data=_widget,
        place=20,
        anchor="widget",
        urls=(("widget/", "client_widget", show_widget),),
    )
)
add_panel(
    Panel(
        title="Ask as this client",
        template="admin/desk/ask.html",
        permission="tenants.ask_as_client",
        data=lambda request, client: {},
        place=40,
        anchor="ask",
        urls=(("ask/", "client_ask", ask),),
    )
)
