"""The only door of the tapes to Redis: one client an event loop, a deadline for every step, one error."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tenants.redis_loop import redis_of_loop

if TYPE_CHECKING:  # redis takes most of a second to import; without REDIS_URL it is never loaded
    from redis.asyncio import Redis

DEADLINE = 1.0  # seconds for one step
CONNECTIONS = 16


class Away(Exception):
    """Redis did not do a step in time; the text names the error."""


@asynccontextmanager
async def step(seconds: float = DEADLINE) -> AsyncIterator["Redis"]:
    """Do something with the client within `seconds`; whatever goes wrong with Redis is Away."""
    from redis.exceptions import RedisError

    try:
        async with asyncio.timeout(seconds):
            yield client()
    except (RedisError, OSError, TimeoutError) as error:
        raise Away(type(error).__name__) from error


def client() -> "Redis":
    """This loop's client, with connections of its own: a blocking read must not take one from the limits. It has no
    deadline for answers, as a blocking read waits longer than any."""
    return redis_of_loop("tapes", CONNECTIONS, DEADLINE)
