"""Whose turn it is, and the right to write a version: its lease.

A run may die at any line and a job may be delivered twice. So a run takes the version's lease, shows a sign of
life every second, and writes only while the lease is its own. A run that was overtaken (by a newer upload, a
deletion, or another run after a silence of INGEST_LEASE_SECONDS) learns so at its next write.
"""

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Max, Q
from django.utils import timezone

from knowledge import callbacks
from knowledge.models import DocumentVersion
from tenants import statements
from tenants.errors import cause_of
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
BEAT_SECONDS = 1.0  # also the pace of progress, in the row and to Express
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Overtaken(Exception):
    """This run no longer holds the version's lease."""


def waiting() -> Q:
    """The versions that a run may claim now: new ones, ones to be tried again, and ones whose run is dead."""
    silent, ahead, now, never = _moments()
    free = Q(lease=None) | Q(heartbeat__lt=silent) | Q(heartbeat__gt=ahead)
    due = Q(not_before=None) | Q(not_before__lte=now) | Q(not_before__gt=never)
    return Q(status__in=DocumentVersion.UNFINISHED) & free & due


# The same in SQL, with the statements of a claim: every document needs them, and the ORM takes 2 ms to compose them.
_WAITING = f"""
    status IN ({", ".join(f"'{status}'" for status in DocumentVersion.UNFINISHED)})
    AND (lease IS NULL OR heartbeat < %s OR heartbeat > %s)
    AND (not_before IS NULL OR not_before <= %s OR not_before > %s)"""
_OLDEST = f"SELECT client_id, MIN(id) FROM knowledge_documentversion WHERE {_WAITING} GROUP BY client_id"
# In the order of the model, as from_db takes them.
_READ = (
    *("id", "client_id", "document_id", "file", "file_type"),
    *("status", "error_message", "attempts", "chunks_total", "chunks_processed"),
)
_CLAIM = f"""
UPDATE knowledge_documentversion SET lease = %s, heartbeat = %s, claimed = %s, worker = %s, attempts = attempts + 1
WHERE id = %s AND {_WAITING} RETURNING {", ".join(_READ)}"""


def _moments() -> tuple[datetime, datetime, datetime, datetime]:
    """What decides who waits: a heartbeat before the first or after the second is of no living run; a `not_before`
    up to the third has come, and one after the fourth lies further ahead than anything is ever put off. (What lies
    ahead was written before the clock was put back.)"""
    now = timezone.now()
    lease = timedelta(seconds=settings.INGEST_LEASE_SECONDS)
    return now - lease, now + lease, now, now + timedelta(seconds=settings.INGEST_RETRY_SECONDS * 40)


def claim_next() -> "Lease | None":
    """The lease of the version whose turn it is, its attempt counted; None when none waits."""
    with unscoped("the workers serve every client in turn"):
        while (version_id := _whose_turn()) is not None:
            if lease := _claim(version_id):
                return lease
    return None


def worker_name() -> str:
    """This process, below the name of the cluster it belongs to."""
    return f"{cluster_name()}/{os.getpid()}"


def cluster_name() -> str:
    """INGEST_CLUSTER in the environment of a cluster's processes (knowledge/cluster.py), else the host's name."""
    return os.environ.get("INGEST_CLUSTER", socket.gethostname())[:80]


def _whose_turn() -> int | None:
    """The oldest waiting version of the client that was served longest ago, so that one client's thousand files
    don't starve another's one."""
    rows = statements.by_hand(_OLDEST, [_stored("heartbeat", moment) for moment in _moments()])
    oldest = {uuid.UUID(str(client_id)): version_id for client_id, version_id in rows}
    if len(oldest) < 2:
        return next(iter(oldest.values()), None)
    versions = DocumentVersion.objects.order_by()
    served = dict(versions.filter(client_id__in=oldest).values_list("client_id").annotate(Max("claimed")))
    return oldest[min(oldest, key=lambda client_id: (served.get(client_id) or NEVER, oldest[client_id]))]


def _claim(version_id: int) -> "Lease | None":
    """None when another worker was faster."""
    token, now = uuid.uuid4(), _stored("heartbeat", timezone.now())
    moments = [_stored("heartbeat", moment) for moment in _moments()]
    claimed = statements.by_hand(_CLAIM, [_stored("lease", token), now, now, worker_name(), version_id, *moments])
    if not claimed:
        return None
    version = DocumentVersion.from_db(connection.alias, _READ, claimed[0])  # the other fields are read when asked for
    version.client_id = uuid.UUID(str(version.client_id))  # SQLite has none
    return Lease(version, token)


def _stored(name: str, value: object) -> Any:
    """A value as the database has it."""
    field: Any = DocumentVersion._meta.get_field(name)
    return field.get_db_prep_value(value, connection)


class Lease:
    """The right to write one version's row. `done` is how many chunks are done; beats pass it on."""

    def __init__(self, version: DocumentVersion, token: uuid.UUID):
        self.version = version
        self.done = 0
        self._token = token
        self._writing = threading.Lock()
        self._entered: dict[str, Any] = {}  # a step that the row does not show yet

    @property
    def id(self) -> str:
        """What the log calls this run."""
        return str(self._token)

    def write(self, **values: Any) -> None:
        """Write to the version's row, with a sign of life and `done`; raises Overtaken."""
        with self._writing, client_scope(self.version.client_id):
            self._write(values)

    def write_in_scope(self, **values: Any) -> None:
        """`write` as a part of the transaction of the client's scope that is open."""
        with self._writing:
            self._write(values)

    def enter(self, status: str, **values: Any) -> None:
        """Begin a step. Express is told of each; without it the next beat shows the step, if it lasts so long."""
        if settings.EXPRESS_CALLBACK_URL:
            self.write(status=status, **values)
        else:
            with self._writing:
                self._entered = {"status": status, **values}

    def _write(self, values: dict[str, Any]) -> None:
        told = (self.version.status, self.version.chunks_processed)
        values = {"chunks_processed": self.done, **self._entered, **values}
        changes = {"heartbeat": timezone.now(), **values}
        if not statements.update(DocumentVersion, changes, id=self.version.pk, lease=self._token):
            raise Overtaken
        self._entered = {}
        for name, value in values.items():
            setattr(self.version, name, value)
        if told != (self.version.status, self.version.chunks_processed):
            callbacks.note(self.version, progress=told[0] == self.version.status)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """A sign of life every second while the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self._beat, args=(stop,), name="beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _beat(self, stop: threading.Event) -> None:
        try:
            while not stop.wait(min(BEAT_SECONDS, settings.INGEST_LEASE_SECONDS / 4)):
                try:
                    self.write()
                except Overtaken:
                    return  # the run learns it at its own next write
                except (DatabaseError, InterfaceError) as error:
                    log.warning("no sign of life could be written", version=self.version.pk, error=cause_of(error))
                    connection.close()
        finally:
            connection.close()
