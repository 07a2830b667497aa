"""When chat's jobs run: Django-Q2's time-table, or, on the embedded default, a thread of the web process.

Every job finds its work in the rows, so one that is lost, late or doubled does no harm.
"""

import threading
import time
from typing import Any

import structlog
from django.conf import settings
from django.db import close_old_connections, transaction

log = structlog.get_logger(__name__)

# Minutes between runs that nobody asked for. Retention looks every hour, as days end at another hour in other zones.
SCHEDULE = {"group_gaps": 5, "follow_up_gaps": 1, "run_question_sets": 5, "apply_retention": 60}
FIRST_SECONDS = 60.0  # after the start, which has enough to do
AGAIN_SECONDS = 1.0  # until a job that has more to do runs again, in the thread

_due: dict[str, float] = {}  # time.monotonic() of each job's next run, in the thread
_wake = threading.Event()
_stop = threading.Event()
_thread: threading.Thread | None = None


def soon(job: str) -> None:
    """Have a job of SCHEDULE run soon after the present transaction is committed."""
    if settings.EMBEDDED:
        transaction.on_commit(lambda: _at_once(job))
        return
    from django_q.tasks import async_task  # loads the whole queue; the embedded default starts without it

    async_task(f"chat.tasks.{job}")


def schedule_jobs(**_: Any) -> None:
    """Enter the jobs in the queue's time-table, once."""
    from django_q.models import Schedule

    for job, minutes in SCHEDULE.items():
        func = f"chat.tasks.{job}"
        Schedule.objects.get_or_create(
            func=func, defaults={"name": func, "schedule_type": Schedule.MINUTES, "minutes": minutes}
        )


def start_embedded_thread() -> None:
    """Start this process's thread, once."""
    global _thread
    if _thread is None or not _thread.is_alive():
        _stop.clear()
        _thread = threading.Thread(target=_work, name="chat jobs", daemon=True)
        _thread.start()


def stop_embedded_thread() -> None:
    """End it after the job that it is at."""
    if _thread is not None:
        _stop.set()
        _wake.set()
        _thread.join()


def _at_once(job: str) -> None:
    _due[job] = 0.0
    _wake.set()


def _work() -> None:
    from chat import tasks

    begun = time.monotonic() + FIRST_SECONDS
    for job in SCHEDULE:
        _due.setdefault(job, begun)
    while not _stop.is_set():
        _wake.clear()
        for job, minutes in SCHEDULE.items():
            if _due[job] > time.monotonic() or _stop.is_set():
                continue
            _due[job] = time.monotonic() + minutes * 60
            if _ran(getattr(tasks, job)):
                _due[job] = time.monotonic() + AGAIN_SECONDS
        close_old_connections()
        _wake.wait(max(min(_due.values()) - time.monotonic(), 0.05))


def _ran(job: Any) -> bool:
    """Does the job say that more is to do?"""
    try:
        return job()
    except Exception:
        log.exception("chat jobs", job=job.__name__)
        return False
