"""Where jobs wait: Django-Q2's ORM broker, or, on the embedded default, this process's own worker thread.

The rows are the truth. A job in the broker names no document; it says "ingest the next one", and the rows say
which that is (pipeline/lease.py). So jobs may be lost, late or doubled: `sweep` makes up for missing ones, and
a superfluous one finds nothing to do.
"""

import threading
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import close_old_connections, transaction
from django.db.models import Min
from django.utils import timezone

from knowledge import callbacks
from knowledge.models import DocumentVersion
from knowledge.pipeline import remains
from knowledge.pipeline.ingest import ingest_next
from knowledge.pipeline.lease import waiting
from tenants.scoping import unscoped

log = structlog.get_logger(__name__)
JOB = "knowledge.tasks.ingest_next"
IDLE_SECONDS = 5  # between looks at the rows when nobody wakes the thread
_wake = threading.Event()
_threads: list[threading.Thread] = []


def enqueue() -> None:
    """Have a waiting version ingested soon after the present transaction is committed."""
    if settings.EMBEDDED:
        transaction.on_commit(_wake.set)
    else:
        from django_q.tasks import async_task

        async_task(JOB)  # a row of the same database: it is there when the transaction's other rows are


def depth() -> int:
    """Versions that wait or are being ingested, over all clients."""
    with unscoped("the queue's depth counts every client"):
        return DocumentVersion.objects.filter(status__in=DocumentVersion.UNFINISHED).count()


def oldest_waiting() -> float:
    """Seconds that the version which has waited longest was uploaded ago; 0 when none waits."""
    with unscoped("the queue's depth counts every client"):
        oldest = DocumentVersion.objects.filter(waiting()).aggregate(oldest=Min("created"))["oldest"]
    return (timezone.now() - oldest).total_seconds() if oldest else 0.0


def count_waiting() -> int:
    """Versions that a worker could begin now."""
    with unscoped("the queue's depth counts every client"):
        return DocumentVersion.objects.filter(waiting()).count()


def sweep() -> int:
    """Put in the jobs that are missing: for what a killed worker held, a lost job, a retry. Returns how many.

    Jobs that a cluster has fetched don't count, so a few may be superfluous; any number of processes may sweep.
    """
    missing = count_waiting() - _fetchable(timezone.now())
    for _ in range(missing):
        enqueue()
    return max(missing, 0)


def unfetched_for(seconds: float) -> bool:
    """Has some job lain in the broker for so long that every running cluster should have fetched it?"""
    return _fetchable(timezone.now() - timedelta(seconds=seconds)) > 0


def _fetchable(before: object) -> int:
    from django_q.models import OrmQ

    return OrmQ.objects.filter(lock__lte=before).count()


def start_embedded_worker() -> None:
    """Start this process's own worker and its callbacks' thread, once; they own every unfinished version."""
    if any(thread.is_alive() for thread in _threads):
        return
    never = threading.Event()
    _threads[:] = [
        threading.Thread(target=_work, name="ingest", daemon=True),
        threading.Thread(target=callbacks.deliver_forever, args=(never,), name="callbacks", daemon=True),
    ]
    for thread in _threads:
        thread.start()


def _work() -> None:
    with unscoped("this process owns the queue: what an earlier one left is taken up again"):
        DocumentVersion.objects.filter(status__in=DocumentVersion.UNFINISHED).update(lease=None)
    while True:
        _wake.clear()
        try:
            while ingest_next():
                pass
            remains.sweep()
        except Exception:
            log.exception("ingestion thread")
        close_old_connections()
        _wake.wait(timeout=IDLE_SECONDS)
