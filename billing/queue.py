"""When billing's jobs run: Django-Q2's time-table, or, on the embedded default, a thread of the web process."""

import threading

import structlog
from django.conf import settings
from django.db import close_old_connections

log = structlog.get_logger(__name__)

SECONDS = 300.0  # between two runs that nobody asked for; as in the time-table (billing/apps.py)

_wake = threading.Event()
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
        _thread = threading.Thread(target=_work, name="billing", daemon=True)
        _thread.start()


def _work() -> None:
    from billing import tasks

    while True:
        _wake.clear()
        for job in (tasks.send_alerts, tasks.keep_books, tasks.deliver_billing_events):
            try:
                job()
            except Exception:
                log.exception("billing thread", job=job.__name__)
        close_old_connections()
        _wake.wait(SECONDS)
