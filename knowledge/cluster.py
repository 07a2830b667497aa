"""The ingestion workers as a service: Django-Q2's cluster in a child process that is watched and restarted.

A stock cluster wedges for good when an idle worker is killed (it dies holding the lock of the queue), is not
stopped by SIGTERM then, and hands what killed workers held out again after `retry` seconds only. So this
process, beside the cluster,

- puts jobs in for versions whose run is dead (queue.sweep), within INGEST_LEASE_SECONDS and a quarter;
- kills and restarts a cluster that has work and shows no sign of life for INGEST_LEASE_SECONDS;
- restarts a cluster that ended; passes SIGTERM on and waits for the running jobs;
- delivers callbacks and erases remains.

The cluster ends when this process is gone, however that came about: it watches its standard input.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from math import ceil
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.db.models import Max

from knowledge import callbacks, queue
from knowledge.models import DocumentVersion
from knowledge.pipeline import remains
from tenants.errors import cause_of
from tenants.scoping import unscoped

log = structlog.get_logger(__name__)
LOOK_SECONDS = 0.25  # how soon a signal or the cluster's end is seen
START_SECONDS = 20.0  # granted to a new cluster before it must show a sign of life; doubled each time in vain
LONGEST_GRACE = 300.0
SHORTEST_PAUSE = 0.5
LONGEST_PAUSE = 30.0  # between restarts of a cluster that ends at once
STOP_SECONDS = 50.0  # for running jobs after SIGTERM; what is cut short then is taken up after the next start


WITHOUT_SERVER = "Without it the vector store lives inside the one web process, which ingests documents itself."


def settings_errors() -> list[str]:
    """What is wrong with the settings for a cluster, in words; measured causes are in config/settings.py."""
    conf = settings.Q_CLUSTER
    rounds = ceil((conf["queue_limit"] + 1) / conf["workers"]) + 1
    options: dict[str, Any] = settings.DATABASES["default"].get("OPTIONS", {})
    whole = conf["timeout"] == int(conf["timeout"])
    rules = [
        (not settings.EMBEDDED, "A worker needs a Qdrant server: set QDRANT_URL. " + WITHOUT_SERVER),
        ("orm" in conf, "Q_CLUSTER needs the ORM broker: the Redis broker loses what a killed worker held."),
        (
            conf["retry"] > conf["timeout"] * rounds,
            f"Q_CLUSTER: retry must exceed {rounds} times timeout, or running jobs are started twice.",
        ),
        (
            conf["guard_cycle"] in (0.25, 0.5, 1) and whole,
            "Q_CLUSTER: guard_cycle must be 0.25, 0.5 or 1, timeout whole seconds; else stuck workers live on.",
        ),
        (
            not options.get("pool"),
            "A worker's database connection can't come from a pool: it does not survive the fork.",
        ),
    ]
    return [message for kept, message in rules if not kept]


class Supervisor:
    """One cluster and what it needs. `run()` blocks until SIGTERM or SIGINT."""

    def __init__(self, command: list[str]):
        self._command = command
        self._name = ""
        self._starts = 0
        self._cluster: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._pause = SHORTEST_PAUSE
        self._started = self._tended = 0.0
        self._still_since = 0.0  # since when there has been work and no sign of life
        self._last_sign: object = None
        self._grace = START_SECONDS

    def run(self) -> None:
        """Keep a cluster running."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        no_more_callbacks = threading.Event()
        thread = threading.Thread(target=callbacks.deliver_forever, args=(no_more_callbacks,), daemon=True)
        thread.start()
        try:
            while not self._stopping:
                self._look()
                time.sleep(LOOK_SECONDS)
        finally:
            self._end_cluster()
            no_more_callbacks.set()
            thread.join(callbacks.CALL_SECONDS)

    def _stop(self, *_: Any) -> None:
        self._stopping = True

    def _look(self) -> None:
        try:
            if self._cluster is None or self._cluster.poll() is not None:
                self._start_cluster()
            if time.monotonic() - self._tended > settings.INGEST_LEASE_SECONDS / 4:
                self._tended = time.monotonic()
                self._tend()
        except (DatabaseError, InterfaceError) as error:
            log.warning("the database is away", error=cause_of(error))
            connection.close()
            time.sleep(1)
        except Exception:
            log.exception("cluster watch")

    def _tend(self) -> None:
        close_old_connections()
        queue.sweep()
        remains.sweep()
        if self._wedged():
            log.error("the cluster has work and does nothing: it is restarted", cluster=self._name)
            self._grace = min(self._grace * 2, LONGEST_GRACE)  # on a busy machine even the start may take long
            self._kill_cluster()
            self._cluster = None

    def _wedged(self) -> bool:
        """Has there been work for INGEST_LEASE_SECONDS, and no sign of life from this cluster's workers?"""
        now = time.monotonic()
        with unscoped("the watch looks for its own workers' last sign of life"):
            workers = DocumentVersion.objects.filter(worker__startswith=f"{self._name}/")
            sign = workers.aggregate(last=Max("heartbeat"))["last"]
        work = queue.count_waiting() or queue.unfetched_for(settings.INGEST_SECONDS)
        if sign != self._last_sign:
            self._last_sign, self._still_since, self._grace = sign, now, START_SECONDS
        elif not work:
            self._still_since = max(now, self._still_since)
        return now - self._still_since > settings.INGEST_LEASE_SECONDS

    def _start_cluster(self) -> None:
        if self._cluster is not None:
            self._kill_cluster()  # whatever its end has left behind
            lived = time.monotonic() - self._started
            self._pause = SHORTEST_PAUSE if lived > LONGEST_PAUSE else min(self._pause * 2, LONGEST_PAUSE)
            log.error("the cluster ended: it is restarted", status=self._cluster.returncode, pause=self._pause)
            self._cluster = None
            self._sleep(self._pause)
        if self._stopping:
            return
        connection.ensure_connection()  # a cluster whose first connection fails hangs
        self._starts += 1
        self._name = f"{socket.gethostname()}:{os.getpid()}.{self._starts}"
        self._last_sign = None
        self._cluster = subprocess.Popen(
            self._command,
            env={**os.environ, "INGEST_CLUSTER": self._name},
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us; and its whole group can be killed
        )
        self._started = time.monotonic()
        self._still_since = self._started + self._grace

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)

    def _end_cluster(self) -> None:
        """Let running jobs end, for STOP_SECONDS."""
        if self._cluster is None:
            return
        self._cluster.terminate()
        try:
            self._cluster.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("running jobs are cut short; they are taken up after the next start")
        self._kill_cluster()

    def _kill_cluster(self) -> None:
        if self._cluster is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._cluster.pid, signal.SIGKILL)
        self._cluster.wait()
        if self._cluster.stdin:
            self._cluster.stdin.close()


def end_with_supervisor() -> None:
    """In the cluster's process: stop when the supervisor is gone. Its end closes our standard input."""
    threading.Thread(target=_await_end, name="supervisor", daemon=True).start()


def preload() -> None:
    """Load what every job needs before the workers are forked, which then share it and begin at once."""
    from knowledge import tokens
    from knowledge.embeddings import openai  # noqa: F401
    from knowledge.vectors import server  # noqa: F401

    tokens.count("ready")


def _await_end() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock the cluster's forks would inherit
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.killpg(os.getpid(), signal.SIGKILL)


def cluster_command() -> list[str]:
    """The command line of the watched process."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster", "--unwatched"]
