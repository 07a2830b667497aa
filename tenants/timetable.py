"""When jobs run: as Django-Q2's time-table says, or, on the embedded default, in one thread of the web process.

A job is named as Django-Q2 names it, "app.tasks.name", and finds its work in the rows: one that is lost, late or
doubled does no harm. (Documents have workers of their own: knowledge/queue.py.)
"""

import threading
import time
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import close_old_connections, transaction
from django.utils.module_loading import import_string

from tenants.jobs import JobFailed

FIRST_SECONDS = 60.0  # after the start, which has enough to do

_minutes: dict[str, int] = {}  # of each job, between two runs that nobody asked for
_due: dict[str, float] = {}  # time.monotonic() of its next run in the thread
_wake = threading.Event()
_stop = threading.Event()
_thread: threading.Thread | None = None


def register(minutes: dict[str, int]) -> None:
    """Have jobs run every so many minutes; called from an app's `ready()`."""
    _minutes.update(minutes)


def soon(job: str) -> None:
    """Have a registered job run soon after the present transaction is committed. A job may ask for itself."""
    if job not in _minutes:
        raise LookupError(job)
    if settings.EMBEDDED:
        transaction.on_commit(lambda: _at_once(job))
        return
    from django_q.tasks import async_task  # loads the whole queue; the embedded default starts without it

    async_task(job)


def enter(**_: Any) -> None:
    """Enter the jobs in Django-Q2's time-table, each once: what an operator changes there stays."""
    from django_q.models import Schedule

    for job, minutes in _minutes.items():
        defaults = {"name": job, "schedule_type": Schedule.MINUTES, "minutes": minutes}
        Schedule.objects.get_or_create(func=job, defaults=defaults)


def start_thread() -> None:
    """Start this process's thread, once."""
    global _thread
    if _thread is None or not _thread.is_alive():
        _stop.clear()
        _thread = threading.Thread(target=_work, name="jobs", daemon=True)
        _thread.start()


def stop_thread() -> None:
    """End it after the job that it is at."""
    if _thread is not None:
        _stop.set()
        _wake.set()
        _thread.join()


def _at_once(job: str) -> None:
    _due[job] = 0.0
    _wake.set()


def _work() -> None:
    begun = time.monotonic() + FIRST_SECONDS
    for job in _minutes:
        _due.setdefault(job, begun)
    while not _stop.is_set():
        _wake.clear()
        for job, minutes in _minutes.items():
            if _due[job] <= time.monotonic() and not _stop.is_set():
                _due[job] = time.monotonic() + minutes * 60
                with suppress(JobFailed):  # it has said so itself
                    import_string(job)()
        close_old_connections()
        _wake.wait(max(min(_due.values()) - time.monotonic(), 0.05))
