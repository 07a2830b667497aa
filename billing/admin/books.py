"""Plans, use and payments at the desk. The books are read there, never rewritten."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from billing.models import (
    Alert,
    BillingEvent,
    Budget,
    HourCount,
    PaymentAccount,
    Plan,
    Subscription,
    UsageHour,
    UsageRecord,
)
from billing.money import money
from billing.payments import NO_ACCOUNT
from billing.plans import hourly_limit, refuses_over_limit
from tenants import audit
from tenants.desk import CLIENT_FILTER, DeskAdmin, Panel, ReadOnly, add_panel
from tenants.models import Client

DAYS_SHOWN = 14
INVOICES_SHOWN = 12
EVENT_LABELS = {"processed": "success", "pending": "info", "failed": "danger"}


@admin.register(Plan)
class PlanAdmin(DeskAdmin):
    list_display = ("tier", "effective_from", "requests_per_hour", "overage", "documents", "subscription")
    list_filter = ("tier",)

    @display(description="Subscription", ordering="subscription_cents")
    def subscription(self, plan: Plan) -> str:
        return f"{money(plan.subscription_cents, settings.CURRENCY)} a month"

    def has_change_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        """A plan in force has been billed by; a change of it is a new row."""
        return super().has_change_permission(request, obj) and (obj is None or obj.effective_from > timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return super().has_delete_permission(request, obj) and obj is not None and obj.effective_from > timezone.now()


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnly, DeskAdmin):
    list_display = ("client", "tier", "starts", "ends")
    list_filter = ("tier",)
    search_fields = ("client__name",)
    list_select_related = ("client",)


@admin.register(UsageHour)
class UsageHourAdmin(ReadOnly, DeskAdmin):
    list_display = ("client", "date", "hour", "requests", "overage", "cached", "errors", "cost", "p50_ms", "p95_ms")
    list_filter = (CLIENT_FILTER,)
    list_select_related = ("client",)


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnly, DeskAdmin):
    list_display = ("at", "client", "kind", "model", "prompt_tokens", "completion_tokens", "cost", "cached", "overage")
    list_filter = ("kind", "cached", "overage", "failed", CLIENT_FILTER)
    search_fields = ("request_id",)
    list_select_related = ("client",)


@admin.register(Budget)
class BudgetAdmin(DeskAdmin):
    list_display = ("client", "monthly")
    search_fields = ("client__name",)
    list_select_related = ("client",)
    autocomplete_fields = ("client",)
    help_texts = {"monthly": "US dollars that answers may cost in models in a month. Visitors are refused beyond it."}


@admin.register(Alert)
class AlertAdmin(ReadOnly, DeskAdmin):
    list_display = ("client", "kind", "period", "used", "limit", "sent", "attempts")
    list_filter = ("kind", CLIENT_FILTER)
    list_select_related = ("client",)


@admin.register(PaymentAccount)
class PaymentAccountAdmin(DeskAdmin):
    list_display = ("client", "customer_id")
    search_fields = ("client__name", "customer_id")
    list_select_related = ("client",)
    autocomplete_fields = ("client",)
    help_texts = {"customer_id": "What the payment provider calls the client, such as cus_9s6XKzkNRiz8i3."}


@admin.register(BillingEvent)
class BillingEventAdmin(ReadOnly, DeskAdmin):
    list_display = ("identifier", "line", "status", "attempts", "error", "processed")
    list_filter = ("state",)
    search_fields = ("identifier",)
    list_select_related = ("line",)
    actions = ("try_again",)

    @display(description="State", label=EVENT_LABELS, ordering="state")
    def status(self, event: BillingEvent) -> str:
        return event.state

    @admin.action(description="Try failed events again", permissions=["retry"])
    def try_again(self, request: HttpRequest, events: QuerySet[BillingEvent]) -> None:
        """What nothing can collect any more stays as it is, for a person."""
        failed = list(events.filter(state=BillingEvent.State.FAILED).exclude(error=NO_ACCOUNT))
        audit.note_each(request, "try again", failed, {"state": BillingEvent.State.PENDING.value, "attempts": 0})
        again = BillingEvent.objects.filter(pk__in=[event.pk for event in failed], state=BillingEvent.State.FAILED)
        count = again.update(state=BillingEvent.State.PENDING, attempts=0, not_before=timezone.now())
        self.message_user(request, f"{count} events will be tried again.", messages.SUCCESS)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_billingevent")


def _usage(request: HttpRequest, client: Client) -> dict[str, Any]:
    """The last days of the ledger's figures, and how much of the present hour is used."""
    now = timezone.now()
    since = (now - timedelta(days=DAYS_SHOWN - 1)).date()
    sums = {name: Sum(name) for name in ("requests", "overage", "cached", "errors", "cost")}
    days = UsageHour.objects.filter(client=client, date__gte=since).values("date").annotate(**sums).order_by("-date")
    hour = now.replace(minute=0, second=0, microsecond=0)
    count = HourCount.objects.filter(client=client, hour=hour).first()
    limit = hourly_limit(client)
    used = count.places if count else 0
    return {
        "days": list(days),
        "used": used,
        "limit": limit,
        "percent": min(100, 100 * used // limit) if limit else 100,
        "refuses": refuses_over_limit(client),
        "costs": request.user.has_perm("tenants.see_costs"),  # type: ignore[union-attr]
    }


add_panel(Panel("Usage", "admin/desk/usage.html", "tenants.see_activity", _usage, 50, "usage"))
