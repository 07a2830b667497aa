"""What Redis holds of a client: keys with the client's id in their names, counted and erased by pattern."""

import uuid
from collections.abc import Iterator

from django.conf import settings

from tenants.redis_nodes import connected

DEADLINE = 5.0  # seconds for one step of Redis
A_STEP = 1_000  # keys looked at


def count(client_id: uuid.UUID, *patterns: str) -> int:
    """How many keys there are; 0 without Redis. `patterns` are Redis' globs with CLIENT where the id stands."""
    return sum(len(names) for names in _matching(client_id, patterns))


def erase(client_id: uuid.UUID, *patterns: str) -> None:
    """Remove the keys. redis.RedisError when Redis is away."""
    for _ in _matching(client_id, patterns, remove=True):
        pass


def _matching(client_id: uuid.UUID, patterns: tuple[str, ...], remove: bool = False) -> Iterator[set[bytes]]:
    """Names that match, each once; a scan may show a key twice."""
    if not settings.REDIS_URL:
        return
    with connected(DEADLINE) as redis:
        for pattern in patterns:
            found = set(redis.scan_iter(pattern.replace("CLIENT", str(client_id)), count=A_STEP))
            if remove and found:
                # On a cluster one by one: a pipeline that meets a hung node waits out a deadline for each of its keys.
                for names in [{name} for name in found] if settings.REDIS_CLUSTER else [found]:
                    redis.unlink(*names)
            yield found
