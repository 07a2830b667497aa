"""The only door of the limits to Redis: one client an event loop, a deadline, and a circuit-breaker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings

from tenants.circuit import Circuit
from tenants.redis_loop import redis_of_loop

if TYPE_CHECKING:  # redis takes most of a second to import; without REDIS_URL it is never loaded
    from redis.asyncio import Redis

CONNECTIONS = 32  # of one event loop; beyond it calls wait for each other rather than open more


class Unavailable(Exception):
    """Redis is not configured, did not answer in time, or failed a moment ago."""


breaker = Circuit("the limits go on")
_at_recovery: list[Callable[["Redis"], Awaitable[None]]] = []


def at_recovery(act: Callable[["Redis"], Awaitable[None]]) -> None:
    """Run `act(client)` when Redis answers again after an outage, before anyone relies on its figures."""
    _at_recovery.append(act)


async def run(script: str, keys: Sequence[str], arguments: Sequence[int | float | str]) -> Any:
    """Run a Lua script in one step and return its reply; Unavailable within LIMITS_REDIS_DEADLINE seconds."""
    if not settings.REDIS_URL:
        raise Unavailable
    from redis.exceptions import RedisError

    if not breaker.may_try():
        raise Unavailable
    try:
        async with asyncio.timeout(settings.LIMITS_REDIS_DEADLINE):
            client = _client()
            if breaker.resting_until:
                for act in _at_recovery:
                    await act(client)
            reply = await client.register_script(script)(keys=keys, args=arguments)
            breaker.worked()
            return reply
    except (RedisError, OSError, TimeoutError) as error:
        breaker.failed(error)
        raise Unavailable from error


def _client() -> "Redis":
    seconds = settings.LIMITS_REDIS_DEADLINE
    return redis_of_loop("limits", CONNECTIONS, seconds, seconds)
