"""A Redis Cluster of the machine's own servers: primaries that share the slots, some with a replica."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from pytest_django import Settings
from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tenants.redis_nodes import addresses
from tests.services import free_port, redis_server, wait_for_port

PRIMARIES = 3
NODE_TIMEOUT = 1_000  # milliseconds until a silent node counts as failed


class Node:
    """One server, which can die, stand still and come back."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory, self.port, self._bus = directory, free_port(), free_port()
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def redis(self) -> Redis:
        """This node alone; what another has is MOVED."""
        return Redis(port=self.port)

    def start(self) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-port", str(self._bus)]
        options += ["--cluster-node-timeout", str(NODE_TIMEOUT), "--repl-diskless-sync-delay", "0"]
        self.process: subprocess.Popen[bytes] = redis_server(self.directory, self.port, *options)
        wait_for_port(self.port)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def dead(self) -> Iterator[None]:
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def hung(self) -> Iterator[None]:
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def meet(self, other: "Node") -> None:
        self.redis.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, other._bus)

    def follow(self, primary: "Node") -> None:
        name = primary.redis.execute_command("CLUSTER", "MYID")
        _until(lambda: name in self.redis.execute_command("CLUSTER", "NODES"))
        self.redis.execute_command("CLUSTER", "REPLICATE", name)
        _until(lambda: self.redis.info("replication")["master_link_status"] == "up")


class Cluster:
    """`nodes`: the primaries, each with a third of the slots; then the replicas of the first ones."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return f"redis://{','.join(node.address for node in self.nodes)}"

    def settings(self) -> dict[str, str]:
        """The environment of a product on it."""
        return {"REDIS_URL": self.url, "REDIS_CLUSTER": "1"}

    def holder(self, key: str) -> Node:
        """The primary that a key was given to in the beginning."""
        return self.nodes[key_slot(key.encode()) * PRIMARIES // REDIS_CLUSTER_HASH_SLOTS]

    def wait_until_well(self, seconds: float = 20) -> None:
        _until(lambda: all(node.redis.cluster("INFO")["cluster_state"] == "ok" for node in self.nodes), seconds)


@contextlib.contextmanager
def cluster(directory: Path, replicas: int = 0) -> Iterator[Cluster]:
    """A cluster of its own, about a second later."""
    nodes: list[Node] = []
    try:
        for number in range(PRIMARIES + replicas):
            nodes.append(Node(directory / f"redis-{number}"))
        bounds = [-(-REDIS_CLUSTER_HASH_SLOTS * number // PRIMARIES) for number in range(PRIMARIES + 1)]
        for number, (first, end) in enumerate(pairwise(bounds)):
            nodes[number].redis.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            nodes[number].redis.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            node.meet(nodes[0])
        for number in range(replicas):
            nodes[PRIMARIES + number].follow(nodes[number])
        made = Cluster(nodes)
        made.wait_until_well()
        yield made
    finally:
        for node in nodes:
            node.kill()


def use_cluster(settings: Settings, cluster: Cluster) -> None:
    """What config/settings.py makes of the cluster's environment."""
    settings.REDIS_URL, settings.REDIS_CLUSTER = cluster.url, True
    settings.CACHES = {"default": {"BACKEND": "tenants.redis_cache.ClusterCache", "LOCATION": cluster.url}}
    hosts = {"hosts": addresses(cluster.url)}
    settings.CHANNEL_LAYERS = {"default": {**settings.CHANNEL_LAYERS["default"], "CONFIG": hosts}}


def _until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
