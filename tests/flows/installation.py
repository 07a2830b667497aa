"""The product on real services: its own PostgreSQL database, Redis, a Qdrant, a web process and a watched cluster."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.contracts.qdrant_server import SmallQdrant
from tests.flows.product import ROOT, Product
from tests.services import free_port, wait_for_port


@contextlib.contextmanager
def database(name: str) -> Iterator[tuple[str, str]]:
    """A new, empty database on the tests' server: (the application role's URL, the owner's)."""
    owner = os.environ["DATABASE_OWNER_URL"]
    with psycopg.connect(owner, autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        server.execute(f'CREATE DATABASE "{name}"')
    try:
        yield named(os.environ["DATABASE_URL"], name), named(owner, name)
    finally:
        with psycopg.connect(owner, autocommit=True) as server:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def named(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


class Installation(Product):
    """A web process, and a cluster that can be started, killed and looked into."""

    cluster: subprocess.Popen[bytes] | None = None
    web: subprocess.Popen[bytes] | None = None
    qdrant: SmallQdrant

    def start_web(self) -> None:
        """Until it listens."""
        log = Path(self.environment["DATA_DIR"]).with_name("web.log").open("ab")
        port = int(self.url.rpartition(":")[2])
        command = [sys.executable, "manage.py", "web", "--port", str(port)]
        self.web = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        wait_for_port(port, 300)

    def stop_web(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        assert self.web
        self.web.send_signal(number)
        return self.web.wait(300)

    def web_log(self) -> str:
        return Path(self.environment["DATA_DIR"]).with_name("web.log").read_text()

    def start_cluster(self) -> None:
        log = Path(self.environment["DATA_DIR"]).with_name("qcluster.log").open("ab")
        command = [sys.executable, "manage.py", "qcluster"]
        self.cluster = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def processes(self) -> list[int]:
        """The watch, the cluster's main process, its sentinel, workers and so on, parsers too; parents first."""
        return descendants(self.cluster.pid) if self.cluster else []

    def wait_for_workers(self, count: int, seconds: float = 60) -> None:
        """Until the whole cluster runs: the watch, main process, sentinel, monitor, pusher and `count` workers."""
        deadline = time.monotonic() + seconds
        while len(self.processes()) < 5 + count:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def kill_cluster(self) -> None:
        """kill -9 all of it, as when the machine's power goes; those, too, whose parent was killed before."""
        processes = self.processes()
        groups = set()
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                groups.add(os.getpgid(pid))
            kill(pid)
        for group in groups - {os.getpgrp()}:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        assert self.cluster
        self.cluster.wait()

    def stop_cluster(self) -> int:
        """SIGTERM; the exit status."""
        assert self.cluster
        self.cluster.send_signal(signal.SIGTERM)
        return self.cluster.wait(300)

    def log(self) -> str:
        return Path(self.environment["DATA_DIR"]).with_name("qcluster.log").read_text()

    def rows(self, query: str) -> list[tuple]:
        """What a query finds, asked as the database's superuser, whom no policy binds."""
        with psycopg.connect(self.environment["DATABASE_OWNER_URL"]) as connection:
            return connection.execute(query).fetchall()

    def points(self) -> list[str]:
        """The ids of all points in all collections."""
        names = [c.name for c in self.qdrant.store.get_collections().collections]
        return [
            str(record.id)
            for name in names
            for record in self.qdrant.store.scroll(name, limit=100_000)[0]
            if "client_id" in (record.payload or {})
        ]


@contextlib.contextmanager
def installation(directory: Path, name: str, qdrant: SmallQdrant, **settings: str) -> Iterator[Installation]:
    """Migrate, start the web process and the cluster; stopped and dropped at the end."""
    with database(name) as (url, owner):
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DATABASE_OWNER_URL": owner,
            "QDRANT_URL": qdrant.url,
            "DATA_DIR": str(directory / "var"),
            "LOG_LEVEL": "WARNING",
            **settings,
        }
        port = free_port()
        product = Installation(f"http://127.0.0.1:{port}", environment)
        product.qdrant = qdrant
        migrated = product.manage("migrate")
        assert migrated.returncode == 0, migrated.stderr
        try:
            product.start_cluster()
            product.start_web()
            yield product
        finally:
            product.kill_cluster()
            assert product.stop_web() in (0, -signal.SIGTERM, -signal.SIGKILL), product.web_log()


def descendants(pid: int) -> list[int]:
    """A living process and all below it, parents first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        state = re.search(r"\) (\w)", Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return []
    below = [found for child in children for found in descendants(int(child))]
    return below if state and state[1] == "Z" else [pid, *below]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
