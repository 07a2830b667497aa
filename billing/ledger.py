"""The books: one append-only row for each request that is paid for, exactly once per request id.

All functions run inside the caller's `client_scope`, in its transaction, as the last thing in it (they hold
the lock of the client's hour until the transaction ends). A request is

    reserve(request_id, client, admission)      in the transaction that writes its question's rows, then either
    record(request_id=..., usage=..., ...)      in the transaction that completes its answer's row, or
    release(request_id, error=...)              when nothing is billed.

`record` and `release` may come late (from a sweeper), twice, or both: the first one decides.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from django.db import IntegrityError, transaction
from django.utils import timezone

from billing import alerts, budgets, hourcount, plans
from billing.limits import Admission, refusal
from billing.models import Reservation, UsageRecord
from tenants import statements
from tenants.models import Client
from tenants.scoping import current_client

MILLION = Decimal(1_000_000)
RESERVED = ("request_id", "at", "included", "hold")
ABANDONED = timedelta(hours=1)  # no answer takes so long; its process died


class Usage(Protocol):
    """Tokens of one model call; `prompt_tokens` includes cache reads and writes."""

    @property
    def model(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def exact(self) -> bool: ...


@dataclass(frozen=True)
class Tokens:
    """A Usage for those who have none of their own, such as the embedding of a document."""

    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    exact: bool = True


def reserve(request_id: str, client: Client, admission: Admission, *, hold: Decimal | None = None) -> None:
    """Take the request's place for good.

    `hold`: the most that the model call can cost, in dollars, kept of the client's monthly budget where it has
    one (default BUDGET_HOLD). ApiError RATE_LIMITED when the hour is full after all, QUOTA_EXCEEDED when the
    budget is.
    """
    limit = admission.limit
    refuses = plans.refuses_over_limit(client)
    held = budgets.hold(client.pk, admission.at, hold)
    place = hourcount.take(client.pk, admission.hour, limit if refuses else None)
    if place is None:
        raise refusal(client, limit, admission.hour)
    included = None if refuses else limit
    statements.write(Reservation, {"request_id": request_id, "at": admission.at, "included": included, "hold": held})
    alerts.notice(client, admission.hour, place, limit)


def record(
    *,
    request_id: str,
    usage: Usage,
    prices: Mapping[str, Any] | None = None,
    cached: bool = False,
    latency_ms: int | None = None,
    kind: str = UsageRecord.Kind.CHAT,
    admission: Admission | None = None,
    at: datetime | None = None,
) -> bool:
    """Write the row of a request that reached a model or was answered from the cache; False when it is there already.

    `prices`: dollars per million tokens under the names of `cost_of`. The reservation knows the request's time and
    what was included then; without one (an embedding, a late row) `admission` or `at` decides, default now.
    """
    values: dict[str, Any] = {
        "kind": kind,
        "model": usage.model,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "prices": {name: str(price) for name, price in (prices or {}).items()},
        "cost": cost_of(usage, prices or {}),
        "cached": cached,
        "exact": usage.exact,
        "latency_ms": latency_ms,
    }
    reservation = _take_reservation(request_id) if kind == UsageRecord.Kind.CHAT else None
    if reservation is None:
        values["at"] = admission.at if admission else at or timezone.now()
        return _write_unreserved(request_id, values, admission)
    values["at"] = reservation.at
    budgets.settle(reservation, values["cost"])
    _count_delivered(values, reservation.included)
    # One statement and no savepoint: whoever had the reservation is the only one to write this id.
    statements.write(UsageRecord, {"request_id": request_id, **values}, ignore_conflicts=True)
    return True


def release(request_id: str, *, error: bool = False, latency_ms: int | None = None) -> bool:
    """Undo a reservation; False when there is none (any more). `error`: keep an unbilled row of the failure."""
    reservation = _take_reservation(request_id)
    if reservation is None:
        return False
    budgets.settle(reservation, Decimal(0))  # before the hour, as everywhere: locks in one order
    hourcount.give_back(_hour(reservation.at))
    if error:
        row = {"request_id": request_id, "at": reservation.at, "failed": True, "latency_ms": latency_ms}
        statements.write(UsageRecord, row, ignore_conflicts=True)
    return True


def cost_of(usage: Usage, prices: Mapping[str, Any]) -> Decimal:
    """Dollars, to eight decimals. `prices` per million tokens: input, output, cache_read, cache_write (the last two
    default to input); a missing price is nothing."""
    rates = {name: Decimal(str(price)) for name, price in prices.items() if price is not None}
    plain = rates.get("input", Decimal(0))
    fresh = usage.prompt_tokens - usage.cache_read_tokens - usage.cache_write_tokens
    total = (
        fresh * plain
        + usage.cache_read_tokens * rates.get("cache_read", plain)
        + usage.cache_write_tokens * rates.get("cache_write", plain)
        + usage.completion_tokens * rates.get("output", Decimal(0))
    )
    return (total / MILLION).quantize(Decimal("1e-8"))


def release_abandoned() -> int:
    """Release the scope's reservations that no process can still be working on; how many there were."""
    old = Reservation.objects.filter(at__lt=timezone.now() - ABANDONED).values_list("request_id", flat=True)
    return sum(release(request_id, error=True) for request_id in list(old))


def _take_reservation(request_id: str) -> Reservation | None:
    """The reservation, gone from its table; of two who ask at once, one gets it."""
    taken = statements.take(Reservation, *RESERVED, request_id=request_id)
    return Reservation(**dict(zip(RESERVED, taken, strict=True)), client_id=_client_in_scope()) if taken else None


def _write_unreserved(request_id: str, values: dict[str, Any], admission: Admission | None) -> bool:
    """A row whose place was not reserved takes it now; the answer exists, so it is never refused."""
    client_id = _client_in_scope()
    if values["kind"] != UsageRecord.Kind.CHAT:  # no place in the hour to give back when it is there already
        if not statements.insert(UsageRecord, {"request_id": request_id, **values}, ignore_conflicts=True):
            return False
        budgets.spend(client_id, values["at"], values["cost"])
        return True
    try:
        with transaction.atomic():  # a savepoint: the caller's transaction survives a duplicate, which counts nowhere
            budgets.spend(client_id, values["at"], values["cost"])
            client = Client.objects.get(pk=client_id)
            limit = admission.limit if admission else plans.hourly_limit(client)
            place = hourcount.take(client_id, _hour(values["at"]), None) or 0
            _count_delivered(values, None if plans.refuses_over_limit(client) else limit)
            alerts.notice(client, _hour(values["at"]), place, limit)
            UsageRecord.objects.create(request_id=request_id, **values)
    except IntegrityError:
        return False
    return True


def _count_delivered(values: dict[str, Any], included: int | None) -> None:
    """What is delivered over the `included` requests of its hour is overage, at the client's price of now."""
    client_id = _client_in_scope()
    delivered = hourcount.deliver(client_id, _hour(values["at"]))
    if included is not None and delivered > included:
        price = Client.objects.values_list("overage_cents", flat=True).get(pk=client_id)
        values.update(overage=True, overage_cents=price)


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _client_in_scope() -> uuid.UUID:
    client_id = current_client()
    if client_id is None:
        raise ValueError("the books are written in one client's scope")
    return client_id
