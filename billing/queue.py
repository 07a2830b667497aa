"""When billing's jobs run: Django-Q2's time-table, or, on the embedded default, a thread of the web process."""

import threading

import structlog
from django.conf import settings
from django.db import close_old_connections

log = structlog.get_logger(__name__)

SECONDS = 300.0  # between two runs that nobody asked for; as in the time-table (billing/apps.py)

_wake = threading.Event()
_stop = threading.Event()
_thread: threading.Thread | None = None


def send_alerts_soon() -> None:
    """Have what was just written sent."""
    if settings.EMBEDDED:
        _wake.set()
        return
    from django_q.tasks import async_task  # loads the whole queue; the embedded default starts without it

    async_task("billing.tasks.send_alerts")


def start_embedded_thread() -> None:
    """Start this process's thread, once."""
    global _thread
    if _thread is None or not _thread.is_alive():
        _stop.clear()
        _thread = threading.Thread(target=_work, name="billing", daemon=True)
        _thread.start()


def stop_embedded_thread() -> None:
    """End it after the job that it is at."""
    if _thread is not None:
        _stop.set()
        _wake.set()
        _thread.join()


def _work() -> None:
    from billing import tasks

    while not _stop.is_set():
        _wake.clear()
        for job in (tasks.send_alerts, tasks.keep_books, tasks.deliver_billing_events):
            try:
                job()
            except Exception:
                log.exception("billing thread", job=job.__name__)
        close_old_connections()
        if not _stop.is_set():
            _wake.wait(SECONDS)
