"""The desk as tests see it: people of every role, rows to look at, and every address that it has."""

import copy
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver

from chat.models import Session
from knowledge.models import Chunk, Document, DocumentVersion
from tenants.models import ApiKey, AuditEvent, Client, StaffMember
from tenants.scoping import ClientOwned, client_scope, unscoped
from tests.isolation.rows import OWNED, Rows, furnish
from tests.isolation.rows import _value as value_for

PASSWORD = "a-long-enough-password"
MOST_QUERIES = 15  # round trips of a page; the statement that opens a scope goes out with its BEGIN


def browser_of(name: str, role: str = "", client: Client | None = None, **rights: Any) -> Browser:
    """Somebody who has logged in; `role` is a StaffMember's, `rights` are the user's own fields."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True, **rights)
    if role:
        with unscoped("the test hires"):
            StaffMember.objects.create(user=user, role=role, client=client)
    browser = Browser()
    browser.force_login(user, "tenants.staff.RoleBackend")
    return browser


def furnished(client: Client) -> Rows:
    """A row of every client-owned model, the document's version being the one that answers."""
    rows = furnish(client)
    with client_scope(client.pk):
        Document.objects.update(latest=rows[DocumentVersion], live=rows[DocumentVersion])
        Chunk.objects.update(heading_path=["Returns"])
        ApiKey.objects.update(revoked=None, expires=None, scopes=["chat"])
    return rows


def furnished_many(count: int) -> None:
    """So many more clients with a row of every model, and as many people."""
    clients = Client.objects.bulk_create(Client(name=f"Client {n}") for n in range(count))
    made: dict[type[ClientOwned], list[ClientOwned]] = {}

    def make(model: type[ClientOwned]) -> None:
        for field in model._meta.concrete_fields:
            needed = field.related_model
            if needed in OWNED and not field.null and needed not in made:
                make(needed)  # type: ignore[arg-type]
        new = []
        for place, client in enumerate(clients):
            own = {other: rows[place] for other, rows in made.items()}
            row = model(client_id=client.pk)
            for field in model._meta.concrete_fields:
                if field.name != "client" and not isinstance(field, models.AutoField):
                    setattr(row, field.attname, value_for(field, client, own))
            new.append(row)
        made[model] = model._default_manager.bulk_create(new)

    with unscoped("the test makes rows of many clients"):
        for model in OWNED:
            if model not in made:
                make(model)
    User.objects.bulk_create(User(username=f"person {n}") for n in range(count))


class Page(NamedTuple):
    """An address of the desk, filled with the ids of one client's rows. `about`: it names a row."""

    name: str
    path: str
    about: bool


def every_page(rows: Rows, client: Client) -> list[Page]:
    """Every address below /admin/, from the URL configuration itself."""
    return [Page(name, *_filled(route, rows, client)) for name, route in _routes(get_resolver().url_patterns)]


def _routes(patterns: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if route.startswith("admin/"):
                yield from _routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and route.startswith("admin/"):
            yield pattern.name or route, route


def _filled(route: str, rows: Rows, client: Client) -> tuple[str, bool]:
    """The route with an id at each place that wants one."""
    model = next((m for m in admin.site._registry if f"/{m._meta.app_label}/{m._meta.model_name}/" in route), None)
    own = client.pk if model is Client else rows[model].pk if model in rows else _any(model)  # type: ignore[index]
    ids = {
        "client_id": client.pk, "key_id": rows[ApiKey].pk, "pk": own, "object_id": own, "id": own, "kind": "pdf",
    }  # fmt: skip
    if route == "admin/autocomplete/":
        return "/admin/autocomplete/?app_label=tenants&model_name=widgetconfig&field_name=client&term=", False
    if "(?P<app_label>" in route:
        return "/admin/tenants/", False
    if "(?P<url>" in route:
        return "/admin/nothing/", False
    if route.startswith("admin/r/"):
        return f"/admin/r/{ContentType.objects.get_for_model(Session).pk}/{rows[Session].pk}/", True
    path = "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(ids[found[1]]), route)
    return path, "<" in route


def _any(model: Any) -> int:
    """A row of a model that is no client's; of the audit one is made."""
    if model is None:
        return 0
    with unscoped("the test looks for any row"):
        if model is AuditEvent and not AuditEvent.objects.exists():
            AuditEvent.objects.create(actor="somebody", action="view")
        found = model._default_manager.order_by("pk").first()
    return found.pk if found else 1


def audited(**what: Any) -> list[AuditEvent]:
    """The rows of the audit, oldest first."""
    with unscoped("the test looks at all"):
        return list(AuditEvent.objects.filter(**what).order_by("pk"))


def visit(browser: Browser, page: Page, data: dict[str, Any] | None = None) -> Any:
    """The answer to a look at the page, or, where there is nothing to look at, to a post; nothing of it remains."""
    cookies = copy.deepcopy(browser.cookies)
    try:
        with transaction.atomic():
            response = browser.get(page.path)
            if response.status_code == 405:
                response = browser.post(page.path, data or {})
            raise _Undo
    except _Undo:
        browser.cookies = cookies
        return response


class _Undo(Exception):
    """What one page does is not seen by the next."""


def stored(client: Client) -> dict[str, list[dict[str, Any]]]:
    """All that is stored of the client, by model."""
    with client_scope(client.pk):
        rows = {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in OWNED}
        return {**rows, "client": list(Client.objects.filter(pk=client.pk).values())}


class Change:
    """A post that changes something, and the row of the audit that it must leave behind.

    `what`: "model verb", or the name of an address; `before` and `after`: the values told, or part of them.
    """

    def __init__(self, what: str, path: str, data: dict[str, Any], action: str, before: Any = None, after: Any = None):
        self.what, self.path, self.data, self.action = what, path, data, action
        self.before, self.after = before or {}, after or {}


def ticked(row: Any, action: str, **more: Any) -> dict[str, Any]:
    return {"action": action, "_selected_action": [row.pk], **more}


def added(model: str, data: dict[str, Any], after: dict[str, Any]) -> Change:
    """A row of `model`, an "app.name", is made with the admin's own form."""
    return Change(f"{model} add", f"/admin/{model.replace('.', '/')}/add/", data, "add", {}, after)


def changed(model: str, pk: Any, data: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> Change:
    return Change(f"{model} change", f"/admin/{model.replace('.', '/')}/{pk}/change/", data, "change", before, after)


def deleted(model: str, pk: Any, before: dict[str, Any], action: str = "delete") -> Change:
    return Change(f"{model} delete", f"/admin/{model.replace('.', '/')}/{pk}/delete/", {"post": "yes"}, action, before)
