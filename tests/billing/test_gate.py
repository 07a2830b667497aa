"""The gate admits exactly the limit, whoever comes at once and whatever becomes of Redis."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import redis as redis_client
from asgiref.sync import async_to_sync
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from billing import hourcount, ledger
from billing.ledger import Tokens
from billing.limits import Admission, admit, withdraw
from billing.models import HourCount, Reservation, UsageRecord
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope

THREADS, EACH = 12, 50


@pytest.fixture
def trial(db: None) -> Client:
    """A free client: 100 requests an hour, then refused."""
    return Client.objects.create(name="Trial", tier=Client.Tier.FREE)


async def admitted(client: Client) -> Admission | None:
    try:
        return await admit(client)
    except ApiError as error:
        assert error.code == "RATE_LIMITED"
        return None


def storm(client: Client) -> int:
    """How many of 600 requests, from 12 threads with event loops of their own, get in."""

    def thread(_: int) -> int:
        async def together() -> int:
            return sum(a is not None for a in await asyncio.gather(*(admitted(client) for _ in range(EACH))))

        try:
            return async_to_sync(together)()
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(thread, range(THREADS)))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("each_store")
def test_600_at_once_get_exactly_the_100_places(
    trial: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIMITS_REDIS_DEADLINE = 5.0  # the machine may be busy; this is not about the deadlines
    monkeypatch.setattr("billing.limits.hours.BOOKS_DEADLINE", 30.0)
    assert storm(trial) == 100


async def test_refusal_says_when_and_where(acme: Client, trial: Client) -> None:
    acme.hourly_limit, acme.hard_cap = 1, True
    first = await admit(acme)
    assert (first.limit, first.remaining, first.overage) == (1, 0, False)
    with pytest.raises(ApiError) as paid:
        await admit(acme)
    reset = first.hour + timedelta(hours=1)
    assert paid.value.status == 429
    assert paid.value.details == {"resetAt": reset.strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert paid.value.headers == {
        "Retry-After": paid.value.headers["Retry-After"],
        "X-RateLimit-Limit": "1",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(reset.timestamp())),
    }
    assert 1 <= int(paid.value.headers["Retry-After"]) <= 3600
    for _ in range(100):
        await admit(trial)
    with pytest.raises(ApiError) as free:
        await admit(trial)
    assert free.value.details == {"upgradeUrl": "http://127.0.0.1:8000/upgrade"}


@pytest.mark.usefixtures("each_redis")
async def test_paid_goes_on_as_overage_and_a_withdrawn_place_is_free_again(acme: Client, stranger: Client) -> None:
    acme.hourly_limit = 2
    admissions = [await admit(acme) for _ in range(3)]
    assert [(a.remaining, a.overage) for a in admissions] == [(1, False), (0, False), (0, True)]
    await withdraw(acme, admissions[2])
    await withdraw(acme, admissions[1])
    assert (await admit(acme)).overage is False
    assert (await admit(stranger)).remaining == 999


@pytest.mark.django_db
@pytest.mark.usefixtures("each_redis")
def test_a_flushed_redis_starts_from_the_books(trial: Client, server: redis_client.Redis) -> None:
    for number in range(99):
        admission = async_to_sync(admit)(trial)
        with client_scope(trial.pk):
            ledger.reserve(f"r{number}", trial, admission)
            if number % 2:
                ledger.record(request_id=f"r{number}", usage=Tokens("m", 10, 2), prices={"input": 1, "output": 2})
    server.flushdb()
    assert async_to_sync(admit)(trial).remaining == 0
    with pytest.raises(ApiError):
        async_to_sync(admit)(trial)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("each_redis")
def test_what_the_gate_lets_through_by_mistake_the_books_refuse(trial: Client, server: redis_client.Redis) -> None:
    def request(number: int) -> bool:
        try:
            admission = async_to_sync(admit)(trial)
            if number % 20 == 0:
                server.flushdb()
            with client_scope(trial.pk):
                ledger.reserve(f"r{number}", trial, admission)
        except ApiError as error:
            assert error.code == "RATE_LIMITED"
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(request, range(200))) == 100
    with client_scope(trial.pk):
        assert (Reservation.objects.count(), HourCount.objects.get().places) == (100, 100)


@pytest.mark.django_db
def test_books_take_each_request_once(acme: Client, stranger: Client) -> None:
    admission = async_to_sync(admit)(acme)
    usage = Tokens("m", 1000, 100, cache_read_tokens=600, cache_write_tokens=100)
    prices = {"input": 3, "output": 15, "cache_read": "0.3", "cache_write": "3.75"}
    with client_scope(acme.pk):
        ledger.reserve("a", acme, admission)
        assert ledger.record(request_id="a", usage=usage, prices=prices, latency_ms=900) is True
        assert ledger.record(request_id="a", usage=usage, prices=prices) is False
        assert ledger.release("a") is False
        assert ledger.record(request_id="b", usage=Tokens("m"), cached=True, admission=admission) is True
        assert ledger.record(request_id="e", usage=Tokens("e", 50), prices={"input": 1}, kind="embedding") is True
        rows = UsageRecord.objects.order_by("request_id").values_list("request_id", "kind", "cost", "cached", "exact")
        assert [(r[0], r[1], f"{r[2]:f}", r[3], r[4]) for r in rows] == [
            ("a", "chat", "0.00295500", False, True),  # 300 at 3, 600 at 0.3, 100 at 3.75, 100 at 15
            ("b", "chat", "0.00000000", True, True),
            ("e", "embedding", "0.00005000", False, True),
        ]
        assert hourcount.places(acme.pk, admission.hour) == 2
    with client_scope(stranger.pk):
        assert (
            ledger.record(request_id="a", usage=usage, prices=prices) is True
        )  # callers choose ids: it's another request
        assert UsageRecord.objects.count() == 1


@pytest.mark.django_db
def test_a_released_request_leaves_its_place_and_a_failure_its_trace(acme: Client) -> None:
    admission = async_to_sync(admit)(acme)
    with client_scope(acme.pk):
        ledger.reserve("a", acme, admission)
        ledger.reserve("b", acme, admission)
        assert ledger.release("a") is True
        assert ledger.release("b", error=True) is True
        assert [(r.request_id, r.failed, r.cost) for r in UsageRecord.objects.all()] == [("b", True, 0)]
        assert (HourCount.objects.get().places, Reservation.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_overage_is_what_is_delivered_over_the_limit(acme: Client) -> None:
    acme.hourly_limit, acme.overage_cents = 2, 25
    acme.save()
    for number in range(6):
        with client_scope(acme.pk):
            ledger.reserve(f"r{number}", acme, async_to_sync(admit)(acme))
    with client_scope(acme.pk):
        for number in (0, 1, 2):
            ledger.release(f"r{number}", error=True)
        for number in (5, 4, 3):
            ledger.record(request_id=f"r{number}", usage=Tokens("m"))
        rows = UsageRecord.objects.order_by("request_id").values_list("failed", "overage", "overage_cents")
        assert list(rows) == [(True, False, 0)] * 3 + [(False, True, 25), (False, False, 0), (False, False, 0)]


@pytest.mark.django_db
@pytest.mark.usefixtures("each_store")
def test_an_answer_belongs_to_the_hour_that_admitted_it(
    trial: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIMITS_REDIS_DEADLINE = 5.0  # as above
    last_moment = datetime(2030, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: last_moment)
    admissions = [async_to_sync(admit)(trial) for _ in range(100)]
    assert async_to_sync(admitted)(trial) is None
    monkeypatch.setattr(timezone, "now", lambda: last_moment + timedelta(microseconds=1))
    with client_scope(trial.pk):
        ledger.reserve("late", trial, admissions[-1])
    assert async_to_sync(admit)(trial).remaining == 99
    with client_scope(trial.pk):
        ledger.record(request_id="late", usage=Tokens("m"))
        assert UsageRecord.objects.get().at == last_moment
        assert [(count.hour.year, count.places) for count in HourCount.objects.all()] == [(2030, 1)]
    assert {a.headers()["X-RateLimit-Reset"] for a in admissions} == {
        str(int(datetime(2031, 1, 1, tzinfo=UTC).timestamp()))
    }
