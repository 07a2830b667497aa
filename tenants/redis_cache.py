"""Django's cache on a Redis Cluster. On a single Redis, Django's own backend does."""

import functools
import os
from typing import TYPE_CHECKING, Any, cast

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient

from tenants.redis_nodes import open_cluster

if TYPE_CHECKING:
    from redis import Redis

SECONDS = 0.5  # of one step, of which a failure takes one for each node: a cache that hangs is worse than none


class ClusterCache(RedisCache):
    """`LOCATION` is as REDIS_URL for a cluster. Many keys lie on many nodes, so each is read and written by itself;
    the first failure ends the whole."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__([server], params)
        self._class = ClusterCacheClient

    get_many, set_many, delete_many = BaseCache.get_many, BaseCache.set_many, BaseCache.delete_many


class ClusterCacheClient(RedisCacheClient):
    def __init__(self, servers: list[str], **options: Any) -> None:
        super().__init__(servers, **options)
        self._url = servers[0]

    def get_client(self, key: object = None, *, write: bool = False) -> "Redis":
        return _cluster(self._url, os.getpid())


@functools.lru_cache(maxsize=2)
def _cluster(url: str, process: int) -> "Redis":
    """One client for all threads of a process: Django makes a cache for each, and a client asks who has which keys
    before its first command. A fork does not share its parent's connections."""
    return cast("Redis", open_cluster(url, SECONDS))
