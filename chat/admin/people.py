"""People's part in conversations at the desk: the live page, staffed hours, and addresses that visitors left."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from chat.models import Contact, Session, SupportHours
from chat.people import takeover
from tenants.desk import CLIENT_FILTER, DeskAdmin, Panel, ReadOnly, add_panel
from tenants.models import Client

TURNS_SHOWN = 100


class WithPerson(admin.SimpleListFilter):
    """Conversations in which a person is awaited or answers."""

    title = "a person"
    parameter_name = "person"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Waiting for one"), ("answering", "One answers")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "waiting":
            return queryset.filter(called__gt=timezone.now() - takeover.PATIENCE).order_by("called")
        if self.value() == "answering":
            return queryset.filter(staff_seen__gt=timezone.now() - timedelta(seconds=settings.TAKEOVER_SECONDS))
        return queryset


def person_of(session: Session) -> tuple[str, str] | None:
    """A label for the list: who answers, or that the visitor waits for somebody."""
    if name := takeover.holder(session):
        return "answering", f"{name} answers"
    return ("waiting", "waiting") if takeover.waiting(session) else None


def live_page(session_admin: Any, request: HttpRequest, session: Session) -> HttpResponse:
    """The page that config/static/desk/live.js keeps up to date through the WebSocket of chat/people/desk.py."""
    turns = list(session.messages.order_by("-pk")[:TURNS_SHOWN])[::-1]
    context = {
        **session_admin.admin_site.each_context(request),
        "title": f"Live: conversation of {session.created:%-d %B %Y, %H:%M}",
        "opts": session_admin.opts,
        "session": session,
        "turns": turns,
        "offered": SupportHours.objects.filter(client=session.client_id).exists(),
        "may_take": request.user.has_perm("chat.take_over"),  # type: ignore[union-attr]
        "longest": takeover.LONGEST,
    }
    return TemplateResponse(request, "admin/desk/live.html", context)


@admin.register(SupportHours)
class SupportHoursAdmin(DeskAdmin):
    """When a client's people answer."""

    list_display = ("client", "time_zone", "state", *SupportHours.DAYS)
    list_select_related = ("client",)
    search_fields = ("client__name",)
    autocomplete_fields = ("client",)
    help_texts = {
        "time_zone": "Such as Europe/Berlin.",
        "monday": "Each day's hours as 09:00-12:30, 13:30-17:00. A free day stays empty.",
    }

    @display(description="now", label={"staffed": "success"})
    def state(self, hours: SupportHours) -> str:
        return "staffed" if hours.open_at(timezone.now()) else "closed"


@admin.register(Contact)
class ContactAdmin(ReadOnly, DeskAdmin):
    list_display = ("created", "client", "email", "sent", "conversation")
    list_filter = (CLIENT_FILTER,)
    list_select_related = ("client",)
    search_fields = ("email",)

    @display(description="conversation")
    def conversation(self, contact: Contact) -> str:
        link = reverse("admin:chat_session_change", args=(contact.session_id,))
        return format_html('<a class="desk-link" href="{}">open</a>', link)


def _hours(request: HttpRequest, client: Client) -> dict[str, Any]:
    hours = SupportHours.objects.filter(client=client).first()
    week = [(day, getattr(hours, day)) for day in SupportHours.DAYS] if hours else []
    return {"hours": hours, "week": week, "open": hours is not None and hours.open_at(timezone.now())}


add_panel(
    Panel(
        title="People in the chat",
        template="admin/desk/hours.html",
        permission="chat.view_supporthours",
        data=_hours,
        place=25,
        anchor="people",
    )
)
