"""The client's clock hour (UTC): admit a request or refuse it, in one atomic step.

The count lives in Redis, or in this process where there is no Redis. A count that is missing (first
request of the hour, flushed Redis, new process) starts from the books. While Redis is away the books are
asked at every request. Cost: one round trip to Redis, or about 0.02 ms in the process.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection
from django.utils import timezone

from billing import hourcount, metrics, plans
from billing.limits import store
from billing.limits.local import LocalCounts
from billing.limits.waits import moment
from tenants.errors import ApiError
from tenants.models import Client
from tenants.redis_nodes import connected

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

STANDING_SECONDS = 1.0  # that a reply waits for the headers of a request that takes no place
KEEP_SECONDS = 2 * 3600  # a count is of no use after its hour
BEHIND_SECONDS = 60.0  # a request is in the books long before
BOOKS_DEADLINE = 2.0  # seconds to wait for the database while Redis is away

# The place taken (1, 2, ...), 0 when there is no count yet, -1 when the hour is full and over it is refused.
TAKE = """
local used = redis.call('GET', KEYS[1])
if not used then return 0 end
if ARGV[2] == '1' and tonumber(used) >= tonumber(ARGV[1]) then return -1 end
return redis.call('INCR', KEYS[1])
"""
LOOK = "return redis.call('GET', KEYS[1])"
SEED = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2])"
RAISE = """
local used = redis.call('GET', KEYS[1])
if used and tonumber(used) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL') end
return 1
"""
GIVE_BACK = """
local used = redis.call('GET', KEYS[1])
if used and tonumber(used) > 0 then return redis.call('DECR', KEYS[1]) end
return 0
"""


@dataclass
class Admission:
    """A place in a client's hour. `reset` is Unix seconds; `overage`: over the limit as far as the gate knows (billed
    is what is delivered over it, which the ledger decides); `withdrawn`: it is free again (or never was taken)."""

    limit: int
    remaining: int
    reset: int
    overage: bool
    hour: datetime
    at: datetime
    withdrawn: bool = False

    def headers(self) -> dict[str, str]:
        return _headers(self.limit, self.remaining, self.reset)


async def admit(client: Client) -> Admission:
    """Take a place in the client's present hour, or raise ApiError RATE_LIMITED (SERVICE_UNAVAILABLE when
    neither Redis nor the database answers and LIMITS_WHEN_UNREACHABLE is "refuse")."""
    if plans.stale():
        await _in_thread(plans.load)
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    limit, refuses = plans.hourly_limit(client), plans.refuses_over_limit(client)
    place = await _take(client.pk, hour, limit, refuses)
    if place is None:
        raise refusal(client, limit, hour)
    return Admission(limit, max(0, limit - place), _reset(hour), place > limit, hour, now)


def full_hour(client: Client) -> Admission:
    """For the headers of an answer that takes no place, while the hour has none left (a repeated request)."""
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    return Admission(plans.hourly_limit(client), 0, _reset(hour), False, hour, now, withdrawn=True)


async def standing(client: Client) -> dict[str, str]:
    """The headers of a reply to a request that takes no place: what is left of the hour now. Nothing is counted; empty
    where nobody can say it in STANDING_SECONDS."""
    try:
        async with asyncio.timeout(STANDING_SECONDS):
            if plans.stale():
                await _in_thread(plans.load)
            hour = timezone.now().replace(minute=0, second=0, microsecond=0)
            used = await _used(client.pk, hour)
    except (DatabaseFailure, TimeoutError):
        return {}
    limit = plans.hourly_limit(client)
    return _headers(limit, max(0, limit - used), _reset(hour))


def counted(client_id: uuid.UUID, hour: datetime) -> int | None:
    """What Redis has counted in an hour; None when it has no count, and so begins with the books'."""
    with connected(seconds=5) as client:
        found: Any = client.get(_key(client_id, hour))
    return None if found is None else int(found)


async def withdraw(client: Client, admission: Admission) -> None:
    """Give the place back, once: the request never reached a model. `admission` shows it free at once. Costs nothing
    when it fails (the books decide)."""
    if admission.withdrawn:
        return
    admission.withdrawn = True
    admission.remaining += not admission.overage
    key = _key(client.pk, admission.hour)
    _local.give_back(key)
    try:
        await store.run(GIVE_BACK, [key], [])
    except store.Unavailable:
        _counted_here.add(key)


def refusal(client: Client, limit: int, hour: datetime) -> ApiError:
    """What a client over its hour is told: where to upgrade (free), or when the hour ends (paid)."""
    metrics.REFUSALS.labels("hour").inc()
    reset = _reset(hour)
    seconds = max(1, reset - int(timezone.now().timestamp()))
    if client.tier == Client.Tier.FREE:
        details = {"upgradeUrl": settings.UPGRADE_URL or f"{settings.PUBLIC_URL}/upgrade"}
    else:
        details = {"resetAt": moment(hour + timedelta(hours=1))}
    return ApiError(
        "RATE_LIMITED",
        "This chat has reached its limit for the hour. Please try again later.",
        details=details,
        headers={"Retry-After": str(seconds), **_headers(limit, 0, reset)},
    )


async def _take(client_id: uuid.UUID, hour: datetime, limit: int, refuses: bool) -> int | None:
    """The place taken, counted from 1; None when the hour is full."""
    key = _key(client_id, hour)
    cap = limit if refuses else None
    try:
        place = await store.run(TAKE, [key], [limit, int(refuses)])
        if place == 0:
            _may_be_behind(client_id, hour)
            await store.run(SEED, [key], [await _from_books(client_id, hour), KEEP_SECONDS])
            place = await store.run(TAKE, [key], [limit, int(refuses)])
        if place != 0:  # 0 again: flushed between the two steps, so the process counts this one
            return place if place > 0 else None
    except store.Unavailable:
        pass
    if settings.REDIS_URL:
        _may_be_behind(client_id, hour)
    if settings.REDIS_URL or not _local.knows(key):  # while Redis is away other processes count in the books only
        floor = await _from_books(client_id, hour)
        _counted_here.add(key)
    else:
        floor = 0
    return _local.take(key, floor, cap)


async def _used(client_id: uuid.UUID, hour: datetime) -> int:
    """Places taken as far as the gate knows; where it does not, according to the books, which may fail or be slow."""
    key = _key(client_id, hour)
    try:
        used = await store.run(LOOK, [key], [])
        if used is not None:
            return int(used)
    except store.Unavailable:
        if not settings.REDIS_URL and _local.knows(key):
            return _local.count(key)
    return max(_local.count(key), await _read_books(client_id, hour))


async def catch_up() -> None:
    """Raise counts in Redis that began with the books a moment ago, or missed requests, to what the books say now.

    What was under way then (admitted, not yet in the books) is missing in such a count. A server process calls this
    every few seconds; without an outage there is hardly ever anything to do.
    """
    for client_id, hour in [id for id, until in _behind.items() if until > time.monotonic()]:
        try:
            floor = await _read_books(client_id, hour)
            await store.run(RAISE, [_key(client_id, hour)], [floor])
        except (DatabaseFailure, TimeoutError, store.Unavailable):
            return
    for id in [id for id, until in _behind.items() if until <= time.monotonic()]:
        del _behind[id]


def _may_be_behind(client_id: uuid.UUID, hour: datetime) -> None:
    _behind[client_id, hour] = time.monotonic() + BEHIND_SECONDS


async def _from_books(client_id: uuid.UUID, hour: datetime) -> int:
    """Places taken according to the database; the operator's policy when it does not answer either."""
    try:
        return await _read_books(client_id, hour)
    except (DatabaseFailure, TimeoutError) as error:
        if settings.LIMITS_WHEN_UNREACHABLE == "admit":
            return 0
        metrics.REFUSALS.labels("unreachable").inc()
        log.error("neither Redis nor the database answers; requests are refused", error=type(error).__name__)
        raise ApiError(
            "SERVICE_UNAVAILABLE", "The chat is not available at the moment.", headers={"Retry-After": "5"}
        ) from error


async def _read_books(client_id: uuid.UUID, hour: datetime) -> int:
    """Places taken according to the database, or TimeoutError after BOOKS_DEADLINE seconds."""
    async with asyncio.timeout(BOOKS_DEADLINE):  # wait_for of Python 3.11 loses a cancellation that meets the result
        return await asyncio.shield(_reading_of_books(client_id, hour))


_Readings = dict[tuple[uuid.UUID, datetime], asyncio.Task[int]]
_readings: WeakKeyDictionary[asyncio.AbstractEventLoop, _Readings] = WeakKeyDictionary()


def _reading_of_books(client_id: uuid.UUID, hour: datetime) -> asyncio.Task[int]:
    """One query for all requests of this event loop that want the same figure at the same time."""
    loop = asyncio.get_running_loop()
    mine, key = _readings.setdefault(loop, {}), (client_id, hour)
    if key not in mine:
        mine[key] = loop.create_task(_in_thread(hourcount.places, client_id, hour))
        mine[key].add_done_callback(lambda task: (mine.pop(key, None), task.cancelled() or task.exception()))
    return mine[key]


async def _in_thread(ask: Callable[..., Any], *args: Any) -> Any:
    """Ask the database in the thread of all synchronous code, and give its connection back: one that is kept there
    would be missing in the pool, and be dead after a restart of the database."""

    def asked() -> Any:
        try:
            return ask(*args)
        finally:
            if not connection.in_atomic_block:  # a caller's transaction, in tests
                connection.close()

    return await sync_to_async(asked)()


_local = LocalCounts()
_behind: dict[tuple[uuid.UUID, datetime], float] = {}  # until when a count in Redis is compared with the books
_counted_here: set[str] = set()  # keys whose count in Redis has missed something


async def _forget_missed_counts(client: "Redis") -> None:
    """Counts that missed requests during an outage start again from the books."""
    if keys := list(_counted_here):
        await client.delete(*keys)
        _counted_here.difference_update(keys)
        _local.clear()


store.at_recovery(_forget_missed_counts)


def forget() -> None:
    """Forget what this process has counted (between tests)."""
    _local.clear()
    _counted_here.clear()
    _behind.clear()


def _key(client_id: uuid.UUID, hour: datetime) -> str:
    return f"limits:{{{client_id}}}:{hour:%Y%m%d%H}"


def _reset(hour: datetime) -> int:
    return int((hour + timedelta(hours=1)).timestamp())


def _headers(limit: int, remaining: int, reset: int) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }
