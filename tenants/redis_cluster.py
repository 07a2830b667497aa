"""A Redis Cluster from an event loop, with the bounds and deadlines that one address has (tenants/redis_loop.py)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from redis.asyncio.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisClusterException, ResponseError

from tenants.redis_nodes import common_options

PATIENCE = 0.02  # seconds; who is cancelled sooner (a visitor who left) has learned nothing of the cluster
_has_turn: ContextVar[bool] = ContextVar("has_turn", default=False)


class Cluster(RedisCluster):
    """At most `connections` commands and pipelines at once, each with one connection to each node it concerns; more
    wait until their callers' deadlines, where the library's client would fail at once.

    After a failure the cluster is asked anew who has which keys: the library does so where a socket fails, but not
    where its caller's deadline ends first, nor after a pipeline."""

    def __init__(self, url: str, connections: int, seconds: float, answer_seconds: float | None) -> None:
        options, nodes = common_options(url)
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in nodes],
            max_connections=2 * connections,  # of a node; more than turns, as one that is being closed counts, too
            reinitialize_steps=0,  # a key that has moved is learned by itself, and closes no connections
            socket_timeout=answer_seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
        self._turns = asyncio.Semaphore(connections)

    async def initialize(self, *args: Any, **options: Any) -> "Cluster":
        """Learn who has which keys. ConnectionError when no node answers, where the library raises no RedisError."""
        try:
            await super().initialize(*args, **options)
        except RedisClusterException as error:
            raise ConnectionError(str(error)) from error
        return self

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self.turn():
            return await super().execute_command(*args, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> "Pipeline":
        """Commands for each node in one round trip; between nodes they have no order."""
        return Pipeline(self)  # type: ignore[abstract]  # it sends with its cluster's, and has no events of its own

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Use one connection to each node. A pipeline's commands that are sent on to another node are a part of it."""
        if _has_turn.get():
            yield
            return
        async with self._turns:
            token, began = _has_turn.set(True), time.monotonic()
            try:
                await self.initialize()
                yield
            except ResponseError:
                raise  # a node has answered
            except BaseException as error:
                if not isinstance(error, asyncio.CancelledError) or time.monotonic() - began > PATIENCE:
                    self._initialize = True  # the next turn asks
                raise
            finally:
                _has_turn.reset(token)


class Pipeline(ClusterPipeline):
    """Sent as one turn of its cluster."""

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        cluster: Any = self.cluster_client
        async with cluster.turn():
            return await super().execute(raise_on_error, allow_redirections)
