"""The books agree with themselves: counts, budgets and invoices with the ledger, the gate with the counts."""

import uuid
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import Count, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from billing import hourcount, invoices, limits, usage
from billing.budgets import month_of
from billing.ledger import ABANDONED
from billing.models import HourCount, Invoice, InvoiceLine, InvoiceNumber, MonthSpend, Reservation, UsageRecord
from tenants.invariants import Found, OutsideCheck, OverallCheck, RowCheck, Violation
from tenants.scoping import unscoped

LATE = 2 * ABANDONED  # the books' job releases them every few minutes


def _hours() -> Found:
    """An hour's kept figures are those of the ledger (or older ones, which the next look brings up)."""
    for start in usage.differences().wrong:
        yield "usage-hour-differs", f"{start:%Y-%m-%dT%H}"


def _places() -> Found:
    """An hour's places are its delivered requests and the ones under way."""
    delivered = Counter(dict(_by_hour(UsageRecord.objects.filter(usage.DELIVERED))))
    open_ones = Counter(dict(_by_hour(Reservation.objects.all())))
    for row in HourCount.objects.order_by("hour"):
        if row.delivered != delivered[row.hour]:
            yield "hour-delivered-differs", f"{row.hour:%Y-%m-%dT%H}"
        if row.places != delivered[row.hour] + open_ones[row.hour]:
            yield "hour-places-differ", f"{row.hour:%Y-%m-%dT%H}"


def _by_hour(rows: object) -> list[tuple[datetime, int]]:
    hours = rows.annotate(start=TruncHour("at", tzinfo=UTC)).order_by().values_list("start")  # type: ignore[attr-defined]
    return list(hours.annotate(Count("pk")))


def _reservations() -> Found:
    """No request stays between its admission and the ledger."""
    old = Reservation.objects.filter(at__lt=timezone.now() - LATE).order_by("pk")
    for pk in old.values_list("pk", flat=True):
        yield "reservation-left-open", pk


def _budgets() -> Found:
    """What a month holds of the budget is what its open reservations hold."""
    held: dict[date, Decimal] = defaultdict(Decimal)
    for at, hold in Reservation.objects.values_list("at", "hold"):
        held[month_of(at)] += hold
    for spend in MonthSpend.objects.order_by("month"):
        if spend.held != held.pop(spend.month, Decimal(0)):
            yield "budget-held-differs", f"{spend.month:%Y-%m}"
    for month, rest in held.items():
        if rest:
            yield "budget-held-differs", f"{month:%Y-%m}"


def _invoices() -> Found:
    """An invoice is the sum of its lines, and its overage is the ledger's."""
    for invoice in Invoice.objects.order_by("number"):
        lines = InvoiceLine.objects.filter(invoice=invoice)
        if invoice.total_cents != (lines.aggregate(total=Sum("amount_cents"))["total"] or 0):
            yield "invoice-total-differs", invoice.number
        if invoice.kind != Invoice.Kind.INVOICE:
            continue
        billed = lines.filter(kind=InvoiceLine.Kind.OVERAGE).values_list("hour", "requests", "amount_cents")
        owed = [(line.hour, line.requests, line.amount_cents) for line in invoices.overage_lines(invoice.month)]
        if sorted(billed) != sorted(owed):
            yield "invoice-differs-from-ledger", invoice.number


def _gate(client_id: uuid.UUID) -> Found:
    """The fast count in Redis has not forgotten requests that the books know: it would admit too many."""
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    in_books = hourcount.places(client_id, hour)  # first: both only grow while requests come
    counted = limits.counted(client_id, hour) if settings.REDIS_URL else None
    if counted is not None and counted < in_books:
        yield "limit-counter-below-ledger", f"{hour:%Y-%m-%dT%H}"


def _numbers() -> "list[Violation]":
    """Invoice numbers have no gap within a year."""
    with unscoped("invoice numbers run over all clients"):
        numbers = set(Invoice.objects.values_list("number", flat=True))
    expected = {f"{row.year}-{number:05}" for row in InvoiceNumber.objects.all() for number in range(1, row.last + 1)}
    return [Violation("invoice-number-missing", "", number) for number in sorted(expected ^ numbers)]


ROWS: list[RowCheck] = [_hours, _places, _reservations, _budgets, _invoices]
OUTSIDE: list[OutsideCheck] = [_gate]
OVERALL: list[OverallCheck] = [lambda: iter(_numbers())]
