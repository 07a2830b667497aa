"""On a client's page: how long its conversations are kept."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from chat.models import Retention
from chat.retention.apply import first_kept, would_delete
from chat.retention.models import LONGEST_DAYS
from tenants import audit
from tenants.desk import Panel, add_panel, back_to, for_client
from tenants.models import Client

COUNTED = 1_000
LABELS = {"conversation_days": "Days", "time_zone": "Time zone"}
SUGGESTED = ("UTC", "Europe/London", "Europe/Berlin", "Europe/Madrid", "America/New_York", "America/Los_Angeles")


def _retention(request: HttpRequest, client: Client) -> dict[str, Any]:
    rule = Retention.objects.filter(client=client).first() or Retention(client=client)
    until = first_kept(rule, timezone.now())
    return {
        "rule": rule,
        "oldest": until.date() if until else None,  # by the rule's own calendar
        "longest": LONGEST_DAYS,
        "zones": SUGGESTED,
        "may": request.user.has_perm("chat.change_retention"),  # type: ignore[union-attr]
    }


@require_POST
@for_client("chat.change_retention")
def set_retention(request: HttpRequest, client: Client) -> HttpResponse:
    """Store the rule. Nothing goes before the next midnight, so that a slip can be mended."""
    rule = Retention.objects.filter(client=client).first() or Retention(client=client)
    before = {"conversation_days": rule.conversation_days, "time_zone": rule.time_zone}
    days = request.POST.get("days", "").strip()
    rule.conversation_days = int(days) if days.isdecimal() and len(days) < 6 else None
    rule.time_zone = request.POST.get("time_zone", "").strip() or "UTC"
    rule.applied = timezone.now().astimezone(rule.zone).date()
    try:
        if days and rule.conversation_days is None:
            raise ValidationError("Write the days as a whole number, or leave them out to keep everything.")
        rule.clean_fields(exclude=["client"])
    except ValidationError as error:
        messages.error(request, _complaint(error))
        return back_to(client, "retention")
    rule.save()
    after = {"conversation_days": rule.conversation_days, "time_zone": rule.time_zone}
    audit.note(request, "change retention", rule, before, after)
    messages.success(request, _told(client, rule))
    return back_to(client, "retention")


def _complaint(error: ValidationError) -> str:
    """What is wrong, with the names that the form has for its fields."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(f"{LABELS[name]}: {' '.join(texts)}" for name, texts in error.message_dict.items())


def _told(client: Client, rule: Retention) -> str:
    if rule.conversation_days is None:
        return "Conversations are kept for good."
    found = would_delete(client.pk, timezone.now() + timedelta(days=1), COUNTED).get("chat.Message")
    if not found:
        return "Saved. Nothing will be that old tonight."
    many = f"{COUNTED} messages or more" if found == COUNTED else f"{found} message{'s' * (found > 1)}"
    return f"Saved. {many} will be deleted at the next midnight in {rule.time_zone}."


add_panel(
    Panel(
        title="Retention",
        template="admin/desk/retention.html",
        permission="chat.view_retention",
        data=_retention,
        place=60,
        anchor="retention",
        urls=(("retention/", "client_retention", set_retention),),
    )
)
