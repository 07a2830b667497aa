"""A streaming replica of the tests' own PostgreSQL, which can be stopped and started, paused and waited for."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
from django.db import connection

from tests import services


class Replica:
    """`port` of 127.0.0.1, with the roles and databases of its primary."""

    def __init__(self, binaries: Path, directory: Path, user: str | None):
        self.port = services.free_port()
        self._directory = directory
        self._run = {"check": True, "stdout": subprocess.DEVNULL, "user": user, "cwd": directory}
        self._control = [binaries / "pg_ctl", "-D", directory / "data", "-w", "-l", directory / "log"]

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        options += " -c max_connections=200"  # no fewer than the primary's
        subprocess.run([*self._control, "-o", options, "start"], **self._run)

    def stop(self) -> None:
        subprocess.run([*self._control, "-m", "immediate", "stop"], **self._run)

    def ask(self, sql: str, *values: Any) -> Any:
        """One value, as the superuser."""
        address = {"host": "127.0.0.1", "port": self.port, "dbname": connection.settings_dict["NAME"]}
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"], **address, autocommit=True) as own:  # type: ignore[arg-type]
            return own.execute(sql, values).fetchone()[0]  # type: ignore[index,arg-type]

    def catch_up(self, seconds: float = 20) -> None:
        """Wait until it has replayed what the primary has written."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_lsn()")
            (written,) = cursor.fetchone()
        deadline = time.monotonic() + seconds
        while not self.ask("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written):
            assert time.monotonic() < deadline, "the replica does not follow"
            time.sleep(0.02)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What is committed meanwhile is not seen here."""
        self.catch_up()
        self.ask("SELECT pg_wal_replay_pause()")
        while self.ask("SELECT pg_get_wal_replay_pause_state()") != "paused":
            time.sleep(0.01)
        try:
            yield
        finally:
            self.ask("SELECT pg_wal_replay_resume()")


@contextlib.contextmanager
def replica_of_tests(directory: Path) -> Iterator[Replica]:
    """Copied from the running server and following it."""
    primary = urlsplit(os.environ["DATABASE_OWNER_URL"])
    host = parse_qs(primary.query).get("host", [primary.hostname])[0]
    binaries, user = services.postgres_binaries()
    directory.mkdir()
    directory.chmod(0o755)
    if user:
        shutil.chown(directory, user)
    replica = Replica(binaries, directory, user)
    address = f"host={host} port={primary.port or 5432} user={primary.username} password={primary.password or ''}"
    copy = [binaries / "pg_basebackup", "-D", directory / "data", "-d", address, "-R", "--no-sync", "-c", "fast"]
    subprocess.run(copy, **replica._run)
    replica.start()
    try:
        yield replica
    finally:
        replica.stop()
