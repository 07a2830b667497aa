"""Redis from an event loop: one client a loop for each purpose, so that one purpose's waiting takes no connection
from another's. Nothing is tried twice in here: who asks knows how long it may take."""

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from django.conf import settings

if TYPE_CHECKING:  # redis takes most of a second to import; without REDIS_URL it is never loaded
    from redis.asyncio import Redis

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], "Redis"]] = WeakKeyDictionary()


def redis_of_loop(purpose: str, connections: int, seconds: float, answer_seconds: float | None = None) -> "Redis":
    """The running loop's client for `purpose`: at most `connections` at once, each had within `seconds`; an answer
    that takes longer than `answer_seconds` breaks its connection."""
    mine = _clients.setdefault(asyncio.get_running_loop(), {})
    if (client := mine.get((purpose, settings.REDIS_URL))) is None:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        pool = BlockingConnectionPool.from_url(
            settings.REDIS_URL,
            max_connections=connections,
            timeout=seconds,
            socket_timeout=answer_seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 0),
        )
        client = mine[purpose, settings.REDIS_URL] = Redis(connection_pool=pool)
    return client
