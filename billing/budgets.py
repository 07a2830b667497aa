"""A client's monthly limit on model cost: held before the call, settled after it, so nothing overruns it."""

import time
import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import F, Sum
from django.utils import timezone

from billing import metrics
from billing.models import Budget, MonthSpend, Reservation, UsageRecord
from billing.usage import COST, month_bounds
from tenants.errors import ApiError

REMEMBER_SECONDS = 5.0  # that a client has a budget, or none; its figure is always read under the lock
KNOWN_EVERYWHERE = timedelta(seconds=2 * REMEMBER_SECONDS)  # after a budget was set

_remembered: dict[uuid.UUID, tuple[float, bool]] = {}


def hold(client_id: uuid.UUID, at: datetime, amount: Decimal | None) -> Decimal:
    """Hold `amount` dollars (default BUDGET_HOLD) of the month's budget; what was held, 0 without a budget.

    In the client's scope. ApiError QUOTA_EXCEEDED when less than that is left.
    """
    if not has_budget(client_id):
        return Decimal(0)
    budget = Budget.objects.select_for_update().first()
    if budget is None:
        return Decimal(0)
    amount = settings.BUDGET_HOLD if amount is None else amount
    spend = _spend(budget, at)
    if spend.spent + spend.held + amount > budget.monthly:
        metrics.REFUSALS.labels("budget").inc()
        raise ApiError("QUOTA_EXCEEDED", "This chat has used up its budget for the month.")
    MonthSpend.objects.filter(pk=spend.pk).update(held=F("held") + amount)
    return amount


def settle(reservation: Reservation, cost: Decimal) -> None:
    """Replace what was held for a request by what it cost."""
    if reservation.hold or has_budget(reservation.client_id):
        month = month_of(reservation.at)
        MonthSpend.objects.filter(month=month).update(held=F("held") - reservation.hold, spent=F("spent") + cost)


def spend(client_id: uuid.UUID, at: datetime, cost: Decimal) -> None:
    """Count a cost that was not held before."""
    if cost and has_budget(client_id):
        MonthSpend.objects.filter(month=month_of(at)).update(spent=F("spent") + cost)


def has_budget(client_id: uuid.UUID) -> bool:
    """In the client's scope; an answer may be REMEMBER_SECONDS old."""
    until, known = _remembered.get(client_id, (0.0, False))
    if until <= time.monotonic():
        if len(_remembered) > 10_000:
            _remembered.clear()
        known = Budget.objects.exists()
        _remembered[client_id] = (time.monotonic() + REMEMBER_SECONDS, known)
    return known


def forget() -> None:
    """Ask again who has a budget (after a change in this process, and between tests)."""
    _remembered.clear()


def month_of(at: datetime) -> date:
    """First day of the month in UTC."""
    return at.date().replace(day=1)


def _spend(budget: Budget, at: datetime) -> MonthSpend:
    """The month's row, locked. Counted anew until every process knows of the budget: without one nobody keeps it."""
    month = month_of(at)
    row = MonthSpend.objects.select_for_update().filter(month=month).first() or MonthSpend.objects.create(month=month)
    if row.counted is None or row.counted < budget.changed + KNOWN_EVERYWHERE:
        row.spent, row.held, row.counted = _sum(UsageRecord, "cost", at), _sum(Reservation, "hold", at), timezone.now()
        row.save(update_fields=["spent", "held", "counted"])
    return row


def _sum(model: type[UsageRecord | Reservation], column: str, at: datetime) -> Decimal:
    """Of a column of the month's rows."""
    start, end = month_bounds(month_of(at))
    total = model.objects.filter(at__gte=start, at__lt=end).aggregate(total=Sum(column))["total"] or Decimal(0)
    return total.quantize(COST)
