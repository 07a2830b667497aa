"""What a cluster's client promises beyond the library's, and what is refused at the start."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from django.core.checks import run_checks
from pytest_django import Settings
from redis.asyncio import Redis

from tenants import redis_keys
from tenants.redis_cluster import Cluster as Client
from tenants.redis_loop import redis_of_loop
from tenants.redis_nodes import addresses
from tests.redis_cluster import Cluster, use_cluster

CONNECTIONS = 4


@pytest.fixture
def on_cluster(settings: Settings, redis_cluster: Cluster) -> Iterator[Cluster]:
    """The connections of this test bear a name."""
    use_cluster(settings, redis_cluster)
    settings.REDIS_URL = f"{redis_cluster.url}?client_name=here"
    yield redis_cluster


def named(found: Cluster) -> list[int]:
    """Connections of this test to each node."""
    return [sum(client["name"] == "here" for client in node.redis.client_list()) for node in found.nodes]


def times_asked(found: Cluster) -> int:
    """How often somebody asked who has which keys."""
    statistics = [node.redis.info("commandstats") for node in found.nodes]
    return sum(calls["calls"] for each in statistics for name, calls in each.items() if name.endswith("cluster|slots"))


async def test_more_at_once_than_there_are_connections_wait(on_cluster: Cluster) -> None:
    client = redis_of_loop("this test", CONNECTIONS, 5.0, 5.0)
    keys = [f"{uuid.uuid4()}" for _ in range(100)]
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")

    async def in_one_trip() -> list[int]:
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.incrby(key, 10)
        return await pipe.execute()

    await asyncio.gather(*(script(keys=[key], args=[1]) for key in keys), *(in_one_trip() for _ in range(20)))
    assert await asyncio.gather(*(client.get(key) for key in keys)) == [b"201"] * len(keys)
    assert max(named(on_cluster)) <= CONNECTIONS + 1  # and the one that asked who has which keys
    assert await client.delete(*keys) == len(keys)


async def test_who_leaves_early_does_not_make_the_cluster_be_learned_anew(on_cluster: Cluster) -> None:
    client = redis_of_loop("that test", CONNECTIONS, 5.0, 5.0)
    await client.set(str(uuid.uuid4()), 1, ex=60)
    asked = times_asked(on_cluster)
    tasks = [asyncio.create_task(client.get("anything")) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert any(isinstance(end, asyncio.CancelledError) for end in ends)
    assert await client.get("anything") is None
    assert times_asked(on_cluster) == asked


def test_keys_of_a_client_are_erased_on_every_node(on_cluster: Cluster) -> None:
    mine, theirs = uuid.uuid4(), uuid.uuid4()
    with redis_keys.connected(5) as client:
        for owner in (mine, theirs):
            for number in range(50):
                client.set(f"tape:{owner}:{number}", 1, ex=60)
    assert all(any(str(mine).encode() in key for key in node.redis.scan_iter()) for node in on_cluster.nodes)
    redis_keys.erase(mine, "tape:CLIENT:*")
    assert (redis_keys.count(mine, "tape:CLIENT:*"), redis_keys.count(theirs, "tape:CLIENT:*")) == (0, 50)
    redis_keys.erase(theirs, "tape:CLIENT:*")


async def test_one_address_has_the_plain_client(settings: Settings, redis_cluster: Cluster) -> None:
    assert type(redis_of_loop("one", CONNECTIONS, 1.0)) is Redis
    use_cluster(settings, redis_cluster)
    assert type(redis_of_loop("one", CONNECTIONS, 1.0)) is Client


def test_nodes_share_all_but_host_and_port() -> None:
    assert addresses("redis://a") == ["redis://a"]
    assert addresses("rediss://u:p%40@a:1,b,c:3/0?x=1") == [
        "rediss://u:p%40@a:1/0?x=1",
        "rediss://u:p%40@b/0?x=1",
        "rediss://u:p%40@c:3/0?x=1",
    ]


@pytest.mark.parametrize(
    ("url", "cluster", "refused"),
    [
        ("", False, None),
        ("redis://a:6379/3", False, None),
        ("redis://a:6379,b:6379", False, "tenants.E005"),
        ("", True, "tenants.E006"),
        ("unix:///run/redis", True, "tenants.E006"),
        ("redis://a:6379,b:6379/1", True, "tenants.E007"),
        ("redis://:secret@a,b:6379/0", True, None),
    ],
)
def test_what_no_request_could_do_with_is_refused_at_the_start(
    settings: Settings, url: str, cluster: bool, refused: str | None
) -> None:
    settings.REDIS_URL, settings.REDIS_CLUSTER = url, cluster
    found = {
        message.id for message in run_checks() if str(message.id) in ("tenants.E005", "tenants.E006", "tenants.E007")
    }
    assert found == ({refused} if refused else set())
