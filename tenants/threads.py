"""Synchronous code that queries, run from an event loop: a few threads, each keeping its database connection while
there is work. Taking one from the pool for every call, and asking it whether it lives, costs as much as two queries.
"""

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from django.conf import settings
from django.db import connection

REST_SECONDS = 1.0  # a connection unused for so long goes back to the pool, which looks whether it lives
_last = threading.local()
_calls: set[Future[Any]] = set()


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run synchronous code that queries, in the caller's context; what it returns or raises."""
    context = contextvars.copy_context()
    call = _threads().submit(context.run, _with_live_connection, function, *args)
    _calls.add(call)
    call.add_done_callback(_calls.discard)
    return await asyncio.wrap_future(call)


def finish(seconds: float | None = None) -> None:
    """Wait until the calls under way have ended: one whose caller has gone goes on."""
    wait(tuple(_calls), seconds)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="rows")


def _with_live_connection(function: Callable[..., Any], *args: Any) -> Any:
    kept = connection.settings_dict["CONN_MAX_AGE"] is None  # SQLite: a file can't go away
    if not kept and time.monotonic() > getattr(_last, "used", 0.0) + REST_SECONDS:
        connection.close()
    try:
        return function(*args)
    finally:
        if connection.errors_occurred:
            connection.close()
        _last.used = time.monotonic()
