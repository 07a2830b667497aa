"""How many answers may run at once, for a client and for one visitor.

A running answer holds a lease; a lease that nobody gives back (its process died) ends by itself.
"""

import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings

from billing import metrics
from billing.limits import store
from billing.limits.waits import refused_for

RETRY_SECONDS = 2  # nobody knows when an answer ends; most do within it

# Sorted sets of leases by their end. Replies 1 when both had room and hold the lease now, else 0.
ENTER = """
local now = redis.call('TIME')
now = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZCARD', key) >= tonumber(ARGV[i + 2]) then return 0 end
end
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + tonumber(ARGV[1]), ARGV[2])
  redis.call('PEXPIRE', key, ARGV[1])
end
return 1
"""
LEAVE = "for i, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end return 1"


@asynccontextmanager
async def slot(client_id: uuid.UUID, visitor: object) -> AsyncIterator[None]:
    """Hold one of the client's and one of the visitor's places while an answer runs.

    ApiError RATE_LIMITED when either has none left. An empty `visitor` is limited with its client only.
    """
    lease = uuid.uuid4().hex
    limits = {
        f"limits:{{{client_id}}}:running:{who}": limit
        for who, limit in (
            ("client", settings.CLIENT_ANSWERS_AT_ONCE),
            (visitor and f"visitor:{visitor}", settings.VISITOR_ANSWERS_AT_ONCE),
        )
        if who and limit
    }
    if limits and not await _enter(lease, limits):
        metrics.REFUSALS.labels("answers").inc()
        raise refused_for(RETRY_SECONDS, "Other answers are still being written. Please try again in a moment.")
    try:
        yield
    finally:
        if limits:
            await _leave(lease, limits)


async def _enter(lease: str, limits: dict[str, int]) -> bool:
    seconds = settings.ANSWER_LEASE_SECONDS
    try:
        return bool(await store.run(ENTER, list(limits), [int(seconds * 1000), lease, *limits.values()]))
    except store.Unavailable:
        return _local.enter(lease, limits, seconds)


async def _leave(lease: str, limits: dict[str, int]) -> None:
    """Give the lease back where it was taken; one that can't be given back ends by itself."""
    if _local.leave(lease, limits):
        return
    try:
        await store.run(LEAVE, list(limits), [lease])
    except store.Unavailable:
        return


class LocalLeases:
    """The same leases in this process, where there is no Redis or it is away."""

    def __init__(self) -> None:
        self._ends: dict[str, dict[str, float]] = {}
        self._lock = threading.Lock()

    def enter(self, lease: str, limits: dict[str, int], seconds: float) -> bool:
        now = time.monotonic()
        with self._lock:
            for key, limit in limits.items():
                running = {held: end for held, end in self._ends.get(key, {}).items() if end > now}
                if len(running) >= limit:
                    return False
                self._ends[key] = running
            for key in limits:
                self._ends[key][lease] = now + seconds
            return True

    def leave(self, lease: str, limits: dict[str, int]) -> bool:
        """True when the lease was held here."""
        with self._lock:
            held = [key for key in limits if self._ends.get(key, {}).pop(lease, None) is not None]
            for key in limits:
                if not self._ends.get(key, True):
                    del self._ends[key]
            return bool(held)

    def clear(self) -> None:
        with self._lock:
            self._ends.clear()


_local = LocalLeases()


def forget() -> None:
    """Forget this process's leases (between tests)."""
    _local.clear()
