"""The desk's first page: the last weeks in charts, and what needs a person now. Also its menu and its files."""

from datetime import date
from typing import Any

from django.conf import settings
from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils import timezone

from billing import usage
from billing.invoices import subscription_cents
from billing.models import HourCount, UsageHour
from billing.money import money
from billing.plans import hourly_limit
from config import figures
from knowledge.models import Callback, Document, DocumentVersion
from tenants import reports, staff
from tenants.desk import clients_of
from tenants.models import Client

SHOWN = 8
BUSIEST = 200  # clients looked at for "near a limit"
COUNTED = 100  # of what needs a person; there are "100+" beyond


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What config/templates/admin/index.html shows; each part only to who may see it, in the scope of the request."""
    may = request.user.has_perm  # type: ignore[union-attr]
    context |= {"title": "Dashboard", "one_client": staff.only_client(request.user)}
    if may("tenants.see_activity"):
        context |= {"usage": figures.usage(request), "near": _near_limit()}
    if may("knowledge.view_document"):
        context["failed"] = _failed()
    if may("knowledge.view_callback"):
        context["callbacks"] = _undelivered()
    if may("tenants.see_costs"):
        context["month"] = _month(request)
    return context


def _near_limit() -> list[dict[str, Any]]:
    """Clients that have used as much of this hour as they want to be warned of."""
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    counts = HourCount.objects.filter(hour=hour, places__gt=0).select_related("client").order_by("-places")[:BUSIEST]
    near = []
    for count in counts:
        limit = hourly_limit(count.client)
        percent = 100 * count.places // limit if limit else 100
        if percent >= count.client.alert_threshold:
            near.append({"client": count.client, "used": count.places, "limit": limit, "percent": min(percent, 100)})
    return sorted(near, key=lambda row: -row["percent"])[:SHOWN]


def _failed() -> dict[str, Any]:
    documents = Document.objects.filter(latest__status=DocumentVersion.Status.FAILED)
    return _first(documents.select_related("client", "latest").defer("latest__text"))


def _undelivered() -> dict[str, Any]:
    """Callbacks that were tried in vain; without a next attempt they were given up."""
    return _first(Callback.objects.filter(attempts__gt=0).select_related("client", "document").defer("body"))


def _first(found: QuerySet[Any]) -> dict[str, Any]:
    """The first rows, and how many there are: one query, that counts no further than COUNTED."""
    rows = list(found[: COUNTED + 1])
    return {"rows": rows[:SHOWN], "count": str(len(rows)) if len(rows) <= COUNTED else f"{COUNTED}+"}


def _month(request: HttpRequest) -> dict[str, str]:
    """What the clients' bills of the month come to as things stand, and what its answers have cost in models."""
    now = timezone.now()
    sums = reports.read(_sums_since, clients_of(request), usage.this_month())
    overage = sums["overage_cents__sum"] or 0
    return {
        "name": f"{now:%B}",
        "revenue": money(sums["subscriptions"] + overage, settings.CURRENCY),
        "overage": money(overage, settings.CURRENCY),
        "cost": f"${sums['cost__sum'] or 0:,.2f}",
    }


def _sums_since(clients: QuerySet[Client], first: date) -> dict[str, Any]:
    sums = UsageHour.objects.filter(date__gte=first).aggregate(Sum("overage_cents"), Sum("cost"))
    return sums | {"subscriptions": subscription_cents(clients, first)}


# --- the menu ---

MENU: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    ("", (("Dashboard", "dashboard", "admin:index", ""),)),
    (
        "Desk",
        (
            ("Clients", "storefront", "admin:tenants_client_changelist", "tenants.view_client"),
            ("Documents", "description", "admin:knowledge_document_changelist", "knowledge.view_document"),
            ("Passages", "segment", "admin:knowledge_chunk_changelist", "knowledge.view_chunk"),
            ("Callbacks", "webhook", "admin:knowledge_callback_changelist", "knowledge.view_callback"),
            ("Conversations", "forum", "admin:chat_session_changelist", "chat.view_session"),
            ("Left addresses", "contact_mail", "admin:chat_contact_changelist", "chat.view_contact"),
            ("Support hours", "schedule", "admin:chat_supporthours_changelist", "chat.view_supporthours"),
            ("Messages", "chat", "admin:chat_message_changelist", "chat.view_message"),
            ("Content gaps", "contact_support", "admin:chat_gap_changelist", "chat.view_gap"),
            ("Question sets", "fact_check", "admin:chat_questionset_changelist", "chat.view_questionset"),
            ("Widgets", "palette", "admin:tenants_widgetconfig_changelist", "tenants.view_widgetconfig"),
            ("Keys", "key", "admin:tenants_apikey_changelist", "tenants.view_apikey"),
        ),
    ),
    (
        "Money",
        (
            ("Invoices", "receipt_long", "admin:billing_invoice_changelist", "billing.view_invoice"),
            ("Usage hours", "bar_chart", "admin:billing_usagehour_changelist", "billing.view_usagehour"),
            ("Usage records", "menu_book", "admin:billing_usagerecord_changelist", "billing.view_usagerecord"),
            ("Plans", "sell", "admin:billing_plan_changelist", "billing.view_plan"),
            ("Subscriptions", "event_repeat", "admin:billing_subscription_changelist", "billing.view_subscription"),
            ("Budgets", "savings", "admin:billing_budget_changelist", "billing.view_budget"),
            ("Alerts", "notifications", "admin:billing_alert_changelist", "billing.view_alert"),
            ("Billing events", "sync", "admin:billing_billingevent_changelist", "billing.view_billingevent"),
            ("Payment accounts", "account_balance", "admin:billing_paymentaccount_changelist", "billing.view_paymentaccount"),  # noqa: E501
        ),
    ),
    (
        "People",
        (
            ("Users", "group", "admin:auth_user_changelist", "auth.view_user"),
            ("Audit events", "history", "admin:tenants_auditevent_changelist", "tenants.view_auditevent"),
            ("Two-factor login", "lock", "two-factor", ""),
        ),
    ),
)  # fmt: skip


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu, with what this person may see."""
    may = request.user.has_perm  # type: ignore[union-attr]
    groups: list[dict[str, Any]] = []
    for title, items in MENU:
        shown = [
            {"title": name, "icon": icon, "link": str(reverse_lazy(view))}
            for name, icon, view, permission in items
            if not permission or may(permission)
        ]
        if shown:
            groups.append({"title": title, "separator": bool(groups), "items": shown})
    return groups


def stylesheet(request: HttpRequest) -> str:
    return static("desk/desk.css")


def script(request: HttpRequest) -> str:
    return static("desk/desk.js")


def icon(request: HttpRequest) -> str:
    return static("desk/icon.svg")
