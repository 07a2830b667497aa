"""Sliding windows per visitor, so that one visitor can't spend a client's whole hour.

Two windows of a minute: the session and the network address. Both are judged before either is counted.
"""

import threading
import time
import uuid
from collections import deque

from django.conf import settings

from billing import metrics
from billing.limits import store
from billing.limits.waits import refused_for

WINDOW = 60.0  # seconds

# A sorted set of request times for each window, on Redis' own clock. Replies the milliseconds to wait, 0: admitted.
SLIDE = """
local now = redis.call('TIME')
now = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local window = tonumber(ARGV[1])
local wait = 0
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
  local over = redis.call('ZCARD', key) - tonumber(ARGV[i + 2])
  if over >= 0 then
    local freed = redis.call('ZRANGE', key, over, over, 'WITHSCORES')
    wait = math.max(wait, tonumber(freed[2]) + window - now)
  end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, now, ARGV[2])
  redis.call('PEXPIRE', key, window)
end
return 0
"""


async def admit_visitor(client_id: uuid.UUID, session_id: object, address: str) -> None:
    """ApiError RATE_LIMITED when this session or this address asks too often, its `resetAt` the end of their own wait
    on every plan; an empty one is not limited.

    `address` must come from the connection or a trusted proxy, never from a header anyone can write.
    """
    limits = {
        f"limits:{{{client_id}}}:{kind}:{who}": limit
        for kind, who, limit in (
            ("session", session_id, settings.SESSION_REQUESTS_PER_MINUTE),
            ("address", address, settings.ADDRESS_REQUESTS_PER_MINUTE),
        )
        if who and limit
    }
    if not limits:
        return
    try:
        wait = await store.run(SLIDE, list(limits), [int(WINDOW * 1000), uuid.uuid4().hex, *limits.values()]) / 1000
    except store.Unavailable:
        wait = _local.slide(limits)
    if wait > 0:
        metrics.REFUSALS.labels("visitor").inc()
        raise refused_for(wait, "You are asking faster than this chat can answer. Please wait a moment.")


class LocalWindows:
    """The same windows in this process."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def slide(self, limits: dict[str, int]) -> float:
        """Seconds to wait; 0 when the request is admitted and counted."""
        now = time.monotonic()
        with self._lock:
            if len(self._times) > 50_000:
                self._drop_idle(now)
            wait = max(self._wait(self._times.setdefault(key, deque()), limit, now) for key, limit in limits.items())
            if wait <= 0:
                for key in limits:
                    self._times[key].append(now)
            return wait

    def clear(self) -> None:
        with self._lock:
            self._times.clear()

    @staticmethod
    def _wait(times: deque[float], limit: int, now: float) -> float:
        while times and times[0] <= now - WINDOW:
            times.popleft()
        over = len(times) - limit
        return times[over] + WINDOW - now if over >= 0 else 0.0

    def _drop_idle(self, now: float) -> None:
        self._times = {key: times for key, times in self._times.items() if times and times[-1] > now - WINDOW}


_local = LocalWindows()


def forget() -> None:
    """Forget this process's windows (between tests)."""
    _local.clear()
