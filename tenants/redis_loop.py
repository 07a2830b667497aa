"""Redis from an event loop: one client a loop for each purpose, so that one purpose's waiting takes no connection
from another's. Nothing is tried twice in here: who asks knows how long it may take."""

import asyncio
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from django.conf import settings

if TYPE_CHECKING:  # redis takes most of a second to import; without REDIS_URL it is never loaded
    from redis.asyncio import Redis

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], "Redis"]] = WeakKeyDictionary()


def redis_of_loop(purpose: str, connections: int, seconds: float, answer_seconds: float | None = None) -> "Redis":
    """The running loop's client for `purpose`: at most `connections` at once, each had within `seconds`; an answer
    that takes longer than `answer_seconds` breaks its connection. On a cluster, so many for each node."""
    mine = _clients.setdefault(asyncio.get_running_loop(), {})
    if (client := mine.get((purpose, settings.REDIS_URL))) is None:
        open_client = _cluster if settings.REDIS_CLUSTER else _single
        client = mine[purpose, settings.REDIS_URL] = open_client(connections, seconds, answer_seconds)
    return client


def _single(connections: int, seconds: float, answer_seconds: float | None) -> "Redis":
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
    return Redis(connection_pool=pool)


def _cluster(connections: int, seconds: float, answer_seconds: float | None) -> "Redis":
    from tenants.redis_cluster import Cluster

    cluster = Cluster(settings.REDIS_URL, connections, seconds, answer_seconds)
    return cast("Redis", cluster)  # it has the same commands
