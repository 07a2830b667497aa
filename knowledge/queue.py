"""Where jobs wait: Django-Q2's ORM broker, or, on the embedded default, this process's own worker thread.

Both run the same job (knowledge/pipeline/ingest.py). The rows are the truth: the thread takes its work from
them, so a document left unfinished by a kill is taken up at the next start.
"""

import threading
import uuid

import structlog
from django.conf import settings
from django.db import close_old_connections

from knowledge.models import DocumentVersion
from tenants.scoping import unscoped

log = structlog.get_logger(__name__)
_wake = threading.Event()
_worker: threading.Thread | None = None


def enqueue(client_id: uuid.UUID, version_id: int) -> None:
    """Have a version ingested soon."""
    if settings.EMBEDDED:
        _wake.set()
        return
    from django_q.tasks import async_task

    async_task("knowledge.tasks.ingest", str(client_id), version_id, task_name=f"ingest {version_id}")


def start_embedded_worker() -> None:
    """Start the worker thread of this process, once; it owns every unfinished version."""
    global _worker
    if _worker is None or not _worker.is_alive():
        _worker = threading.Thread(target=_work, name="ingest", daemon=True)
        _worker.start()


def depth() -> int:
    """Versions that wait or are being ingested, over all clients."""
    with unscoped("the queue's depth counts every client"):
        return DocumentVersion.objects.exclude(status__in=DocumentVersion.FINAL).count()


def _work() -> None:
    from knowledge.pipeline.ingest import ingest

    with unscoped("this process owns the queue: what an earlier one left is taken up again"):
        DocumentVersion.objects.exclude(status__in=DocumentVersion.FINAL).update(lease=None)
    while True:
        _wake.clear()
        try:
            while job := _next():
                ingest(*job)
        except Exception:
            log.exception("ingestion thread")
        close_old_connections()
        _wake.wait(timeout=5)


def _next() -> tuple[uuid.UUID, int] | None:
    """The oldest waiting version of the client with the fewest recent ones, so that one client's thousand
    files don't starve another's one."""
    with unscoped("the worker serves every client in turn"):
        waiting = DocumentVersion.objects.exclude(status__in=DocumentVersion.FINAL).filter(lease=None)
        oldest: dict[uuid.UUID, int] = {}
        for client_id, pk in waiting.order_by("created", "pk").values_list("client_id", "pk"):
            oldest.setdefault(client_id, pk)
    if not oldest:
        return None
    client_id = min(oldest, key=lambda c: _served.get(c, 0))
    _served[client_id] = max(_served.values(), default=0) + 1
    return client_id, oldest[client_id]


_served: dict[uuid.UUID, int] = {}  # client -> turn in which it was last served
