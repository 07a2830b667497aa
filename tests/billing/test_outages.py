"""Redis silent, cut off or gone together with the database: the reply still arrives, and no quota appears."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from billing import ledger, limits
from billing.limits import admit, admit_visitor, hours, slot, store
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope
from tests.billing.wire import Wire, wire
from tests.conftest import as_owner


@pytest.fixture
def line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The gate's way to Redis, through a wire."""
    redis = urlsplit(settings.REDIS_URL)
    monkeypatch.setattr(store.breaker, "REST_SECONDS", 0.3)
    with wire(redis.hostname or "127.0.0.1", redis.port or 6379) as line:
        settings.REDIS_URL = f"redis://127.0.0.1:{line.port}/0"
        yield line


@pytest.fixture
def capped(acme: Client) -> Client:
    """At most five requests an hour."""
    acme.hourly_limit, acme.hard_cap = 5, True
    acme.save()
    return acme


def says_when(error: ApiError) -> None:
    """`resetAt` is the moment that `Retry-After` leads to, and all that the details hold."""
    at = datetime.strptime(error.details["resetAt"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    wait = (at - timezone.now()).total_seconds()
    assert list(error.details) == ["resetAt"] and abs(wait - int(error.headers["Retry-After"])) <= 2


def rename(table: str, name: str) -> None:
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {name}")


def ask(client: Client, request_id: str) -> float:
    """One request through gate and books; the seconds that the gate took."""
    started = time.monotonic()
    admission = async_to_sync(admit)(client)
    took = time.monotonic() - started
    with client_scope(client.pk):
        ledger.reserve(request_id, client, admission)
    return took


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["silent", "cut"])
def test_an_outage_costs_one_deadline_and_admits_nobody_too_many(capped: Client, line: Wire, how: str) -> None:
    ask(capped, "before-1")
    ask(capped, "before-2")
    if how == "silent":
        line.silent = True
    else:
        line.cut()
    slowest = ask(capped, "during-1")
    assert slowest < 1.0  # LIMITS_REDIS_DEADLINE is 0.15; the machine may be busy
    assert ask(capped, "during-2") < max(0.1, slowest)
    assert store.breaker.resting_until
    line.silent = False
    if how == "cut":
        line.mend()
    time.sleep(0.35)
    ask(capped, "after-1")
    assert not store.breaker.resting_until
    with pytest.raises(ApiError) as full:
        ask(capped, "after-2")
    assert full.value.code == "RATE_LIMITED"


@pytest.mark.django_db(transaction=True)
def test_with_the_database_away_too_the_operator_decides(capped: Client, line: Wire, settings: Settings) -> None:
    line.cut()
    rename("billing_hourcount", "away")
    try:
        with pytest.raises(ApiError) as refused:
            async_to_sync(admit)(capped)
        assert (refused.value.code, refused.value.status) == ("SERVICE_UNAVAILABLE", 503)
        settings.LIMITS_WHEN_UNREACHABLE = "admit"
        assert async_to_sync(admit)(capped).remaining == 4
    finally:
        rename("away", "billing_hourcount")


@pytest.mark.usefixtures("each_store")
async def test_a_visitor_who_hurries_is_told_to_wait(acme: Client, stranger: Client, settings: Settings) -> None:
    settings.SESSION_REQUESTS_PER_MINUTE, settings.ADDRESS_REQUESTS_PER_MINUTE = 2, 3
    await admit_visitor(acme.pk, "s1", "192.0.2.1")
    await admit_visitor(acme.pk, "s1", "192.0.2.1")
    with pytest.raises(ApiError) as hurried:
        await admit_visitor(acme.pk, "s1", "192.0.2.1")
    assert hurried.value.code == "RATE_LIMITED"
    assert 58 <= int(hurried.value.headers["Retry-After"]) <= 60
    says_when(hurried.value)
    await admit_visitor(acme.pk, "s2", "192.0.2.1")  # what was refused did not count for the address
    with pytest.raises(ApiError):
        await admit_visitor(acme.pk, "s3", "192.0.2.1")
    await admit_visitor(stranger.pk, "s1", "192.0.2.1")
    for number in range(4):  # who names no session, or comes from no address that is theirs, shares none
        await admit_visitor(acme.pk, None, f"198.51.100.{number}")
        await admit_visitor(acme.pk, f"own {number}", "")
    settings.SESSION_REQUESTS_PER_MINUTE = settings.ADDRESS_REQUESTS_PER_MINUTE = 0  # no limit
    await admit_visitor(acme.pk, "s1", "192.0.2.1")


@pytest.mark.usefixtures("each_store")
async def test_only_so_many_answers_at_once(acme: Client, stranger: Client, settings: Settings) -> None:
    settings.CLIENT_ANSWERS_AT_ONCE, settings.VISITOR_ANSWERS_AT_ONCE = 2, 1

    async def room(client: Client, visitor: str) -> bool:
        try:
            async with slot(client.pk, visitor):
                return True
        except ApiError as error:
            assert (error.code, error.headers["Retry-After"]) == ("RATE_LIMITED", "2")
            says_when(error)
            return False

    async with slot(acme.pk, "v1"):
        assert not await room(acme, "v1")
        assert await room(acme, "v2")
        async with slot(acme.pk, "v2"):
            assert not await room(acme, "v3")
            assert await room(stranger, "v1")
    assert await room(acme, "v1")
    async with slot(acme.pk, ""):
        assert await room(acme, ""), "they may be two"
    settings.ANSWER_LEASE_SECONDS = 0.05
    async with slot(acme.pk, "dead"):
        await asyncio.sleep(0.06)
        assert await room(acme, "dead")
    settings.ANSWER_LEASE_SECONDS = 60
    settings.CLIENT_ANSWERS_AT_ONCE = settings.VISITOR_ANSWERS_AT_ONCE = 0  # no limit
    async with slot(acme.pk, "v1"):
        assert await room(acme, "v1")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("each_redis")
async def test_a_count_that_began_while_requests_were_under_way_catches_up(acme: Client, server: Redis) -> None:
    """Redis was flushed between a request's admission and its row: its count began without that request."""
    admissions = [await limits.admit(acme) for _ in range(3)]
    await sync_to_async(server.flushdb)()
    await limits.admit(acme)  # begins with the books, which hold nothing yet
    for admission in admissions:
        await sync_to_async(_reserve)(acme, admission)
    assert await sync_to_async(limits.counted)(acme.pk, admissions[0].hour) == 1
    await limits.catch_up()
    assert await sync_to_async(limits.counted)(acme.pk, admissions[0].hour) == 3


def _reserve(client: Client, admission: limits.Admission) -> None:
    with client_scope(client.pk):
        ledger.reserve(uuid.uuid4().hex, client, admission)


async def test_a_cancellation_that_meets_the_books_is_heeded(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server process stops its caretaker; one that counted on would keep the process from ending."""
    books: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(hours, "_reading_of_books", lambda *_: books)
    hours._may_be_behind(acme.pk, limits.full_hour(acme).hour)
    counting = asyncio.create_task(limits.catch_up())
    await asyncio.sleep(0)
    books.set_result(1)
    counting.cancel()
    await asyncio.wait([counting], timeout=5)
    assert counting.cancelled()
