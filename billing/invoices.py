"""A month's bill: computed from the ledger and the tiers in force, then frozen as one invoice a client.

Months are UTC. Money is whole cents; a part of a month's subscription is rounded once, half up. An issued
invoice is never changed: `credit()` answers it with a credit note.
"""

import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby

from django.conf import settings
from django.db import IntegrityError
from django.db.models import Count, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from billing import alerts, ledger, plans
from billing.models import BillingEvent, Invoice, InvoiceLine, InvoiceNumber, Reservation, Subscription, UsageRecord
from billing.money import money
from billing.subscriptions import tier_at
from billing.usage import DELIVERED, month_bounds, started_blocks
from tenants.models import Client
from tenants.scoping import client_scope

GRACE = timedelta(minutes=5)  # an answer from the cache has no reservation and may be written just after midnight


@dataclass(frozen=True)
class Line:
    """One amount of a bill. `quantity` is days of subscription or started hundreds of overage."""

    kind: str
    description: str
    amount_cents: int
    quantity: int = 1
    requests: int = 0
    hour: datetime | None = None


class NotYet(Exception):
    """The month can't be closed yet; its text is for the operator."""


def lines_of(client: Client, month: date, left: datetime | None = None) -> list[Line]:
    """What the client owes for the month as things stand (a present month: as if nothing changed until its end, or
    until it `left`; the day that it leaves on is free)."""
    history = list(Subscription.objects.order_by("starts", "pk"))
    return [*_subscription_lines(client, history, month, left), *overage_lines(month)]


def subscription_cents(clients: QuerySet[Client], month: date) -> int:
    """What the lines of all these clients' subscriptions come to, in a scope that holds them. Three queries at most,
    and no more work for clients on one tier all month than for one of them."""
    start, _ = month_bounds(month)
    histories: dict[uuid.UUID, list[Subscription]] = defaultdict(list)
    for row in Subscription.objects.filter(Q(ends=None) | Q(ends__gt=start)).order_by("starts", "pk"):
        histories[row.client_id].append(row)
    total, known = 0, dict[tuple[object, ...], int]()
    for client in clients.only("tier", "created"):
        history = histories[client.pk]
        alike = (client.tier, max(client.created, start).date(), *((row.tier, row.ends) for row in history))
        if alike not in known:
            known[alike] = sum(line.amount_cents for line in _subscription_lines(client, history, month))
        total += known[alike]
    return total


def close(client: Client, month: date) -> Invoice | None:
    """Issue the month's invoice of one client; None when it has been issued before. NotYet before the month is over,
    or while a request of it is still under way."""
    start, end = month_bounds(month)
    if timezone.now() < end + GRACE:
        raise NotYet(f"{month:%Y-%m} is not over yet.")
    try:
        with client_scope(client.pk):
            if Invoice.objects.filter(month=start.date(), kind=Invoice.Kind.INVOICE).exists():
                return None
            ledger.release_abandoned()
            if Reservation.objects.filter(at__gte=start, at__lt=end).exists():
                raise NotYet(f"{client.name}: a request of {month:%Y-%m} is still under way.")
            lines = lines_of(client, start.date())
            invoice = _issue(client, start.date(), lines)
            overage = [line for line in lines if line.kind == InvoiceLine.Kind.OVERAGE]
            requests, cents = sum(line.requests for line in overage), sum(line.amount_cents for line in overage)
            alerts.monthly_summary(client, start, requests, cents)
            return invoice
    except IntegrityError:  # another process was closing the same month
        return None


def close_last(client_id: uuid.UUID, left: datetime) -> list[Invoice]:
    """Bill a client that is about to be erased for every month that it was not billed for, the one that it `left` in
    included; what was issued now. Harmless when repeated. A month without anything to pay gets no invoice.

    Nothing is under way any more: requests had time to end since the client was switched off (tenants/erasure.py).
    """
    client = Client.objects.filter(pk=client_id).first()
    if client is None:
        return []
    issued, (start, end) = [], month_bounds(client.created.astimezone(UTC))
    while start <= left:
        issued.append(_close_last(client, start.date(), left))
        start, end = month_bounds(end)
    return [invoice for invoice in issued if invoice is not None]


def _close_last(client: Client, month: date, left: datetime) -> Invoice | None:
    try:
        with client_scope(client.pk):
            if Invoice.objects.filter(month=month, kind=Invoice.Kind.INVOICE).exists():
                return None
            lines = lines_of(client, month, left)
            return _issue(client, month, lines) if any(line.amount_cents for line in lines) else None
    except IntegrityError:  # the month was closed at this moment
        return None


def creditable(invoice: Invoice) -> int:
    """Cents of an invoice that no credit note has taken back yet. In a scope."""
    if invoice.kind != Invoice.Kind.INVOICE:
        return 0
    noted = Invoice.objects.filter(credits=invoice).aggregate(total=Sum("total_cents"))["total"]
    return max(0, invoice.total_cents + (noted or 0))


def credit(invoice: Invoice, amount_cents: int, reason: str, *, left: int | None = None) -> Invoice:
    """A credit note over a part of an invoice, or all of it; ValueError for more than is left of it, or where
    something else than `left` is."""
    with client_scope(invoice.client_id):
        number = _next_number()  # its lock also orders two notes on one invoice
        found = creditable(invoice)
        if left not in (None, found):
            raise ValueError(f"{invoice} was credited meanwhile: {money(found, invoice.currency)} are left.")
        if not 0 < amount_cents <= found:
            raise ValueError(f"At most {money(found, invoice.currency)} of {invoice} can be credited.")
        note = Invoice.objects.create(
            number=number,
            kind=Invoice.Kind.CREDIT_NOTE,
            month=invoice.month,
            credits=invoice,
            client_name=invoice.client_name,
            currency=invoice.currency,
            total_cents=-amount_cents,
            reason=reason,
            issued=timezone.now(),
        )
        _add_lines(note, [Line(InvoiceLine.Kind.CREDIT, f"Credit for invoice {invoice.number}", -amount_cents)])
        return note


def _subscription_lines(
    client: Client, history: list[Subscription], month: date, left: datetime | None = None
) -> list[Line]:
    """A line for each run of days on one tier at one price; a day counts for the tier that it ends on."""
    start, end = month_bounds(month)
    days = [start + timedelta(days=n) for n in range((end - start).days)]
    used = [day for day in days if left is None or day + timedelta(days=1) <= left]
    lines = []
    for (tier, price), run in groupby(used, key=lambda day: _tier_and_price(client, history, day)):
        if tier is None:
            continue
        count = len(list(run))
        cents = (Decimal(price) * count / len(days)).quantize(Decimal(1), ROUND_HALF_UP)
        part = "" if count == len(days) else f", {count} of {len(days)} days"
        name = Client.Tier(tier).label
        lines.append(Line(InvoiceLine.Kind.SUBSCRIPTION, f"{name} plan, {month:%B %Y}{part}", int(cents), count))
    return lines


def _tier_and_price(client: Client, history: list[Subscription], day: datetime) -> tuple[str | None, int]:
    tier = tier_at(history, client, day + timedelta(days=1) - timedelta(microseconds=1))
    return (tier, plans.plan_at(tier, day).subscription_cents) if tier else (None, 0)


def overage_lines(month: date) -> list[Line]:
    """A line for each hour with overage: its started hundreds at the price of then (the lowest, had it changed)."""
    start, end = month_bounds(month)
    rows = UsageRecord.objects.filter(DELIVERED, overage=True, at__gte=start, at__lt=end)
    hours = rows.annotate(start=TruncHour("at", tzinfo=UTC)).values("start")
    return [
        Line(
            InvoiceLine.Kind.OVERAGE,
            f"Overage on {hour['start']:%d %B %Y, %H:00} UTC: {hour['count']} request{'s' * (hour['count'] != 1)}",
            started_blocks(hour["count"]) * hour["price"],
            started_blocks(hour["count"]),
            hour["count"],
            hour["start"],
        )
        for hour in hours.annotate(count=Count("pk"), price=Min("overage_cents")).order_by("start")
    ]


def _issue(client: Client, month: date, lines: list[Line]) -> Invoice:
    invoice = Invoice.objects.create(
        number=_next_number(),
        month=month,
        client_name=client.name,
        currency=settings.CURRENCY,
        total_cents=sum(line.amount_cents for line in lines),
        issued=timezone.now(),
    )
    _add_lines(invoice, lines)
    return invoice


def _add_lines(invoice: Invoice, lines: list[Line]) -> None:
    """The invoice's lines, and an event for the payment provider for each that moves money."""
    rows = InvoiceLine.objects.bulk_create(
        InvoiceLine(
            invoice=invoice,
            position=position,
            kind=line.kind,
            description=line.description,
            hour=line.hour,
            requests=line.requests,
            quantity=line.quantity,
            amount_cents=line.amount_cents,
        )
        for position, line in enumerate(lines, start=1)
    )
    BillingEvent.objects.bulk_create(
        BillingEvent(line=row, identifier=f"{invoice.number}-{row.position}", not_before=invoice.issued)
        for row in rows
        if row.amount_cents
    )


def _next_number() -> str:
    """Gapless within a year: the row stays locked until the invoice is committed or the number given back."""
    year = timezone.now().astimezone(UTC).year
    InvoiceNumber.objects.bulk_create([InvoiceNumber(year=year)], ignore_conflicts=True)
    row = InvoiceNumber.objects.select_for_update().get(year=year)
    row.last += 1
    row.save(update_fields=["last"])
    return f"{year}-{row.last:05}"
