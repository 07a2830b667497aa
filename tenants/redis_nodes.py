"""Where Redis is: at one address, or at those of a cluster's nodes; and Redis for synchronous code."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from django.conf import settings

if TYPE_CHECKING:  # redis takes most of a second to import; without REDIS_URL it is never loaded
    from redis import Redis, RedisCluster


def addresses(url: str) -> list[str]:
    """The URL of each node: `redis://user:secret@a:6379,b:6379` names two, with all else in common."""
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=credentials + at + host).geturl() for host in hosts.split(",")]


@contextmanager
def connected(seconds: float) -> Iterator["Redis"]:
    """A client for a few commands; each step within `seconds`. redis.RedisError when Redis is away."""
    from redis import Redis
    from redis.exceptions import ConnectionError, RedisClusterException

    if not settings.REDIS_CLUSTER:
        with closing(Redis.from_url(settings.REDIS_URL, **_deadlines(seconds))) as redis:
            yield redis
        return
    try:
        with closing(open_cluster(settings.REDIS_URL, seconds)) as cluster:
            yield cast("Redis", cluster)  # its commands are the same, and find their nodes themselves
    except RedisClusterException as error:  # no node can be reached: it is no RedisError
        raise ConnectionError(str(error)) from error


def open_cluster(url: str, seconds: float) -> "RedisCluster":
    """A client of the cluster; each step within `seconds`, and nothing is tried twice. RedisClusterException, or a
    RedisError, when no node answers."""
    from redis import RedisCluster
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode
    from redis.retry import Retry

    options, nodes = common_options(url)
    startup = [ClusterNode(host, port) for host, port in nodes]
    return RedisCluster(startup_nodes=startup, retry=Retry(NoBackoff(), 0), **options, **_deadlines(seconds))


def common_options(url: str) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """What every connection to a cluster takes, as keyword arguments of its client, and host and port of each node."""
    from redis.asyncio.connection import SSLConnection, parse_url

    found: list[dict[str, Any]] = [{**parse_url(address)} for address in addresses(url)]
    nodes = [(one.pop("host", "localhost"), one.pop("port", 6379)) for one in found]
    options = found[0]
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    return options, nodes


def _deadlines(seconds: float) -> dict[str, Any]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds}
