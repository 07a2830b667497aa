"""Where Prometheus reads: `/metrics` of the web process with METRICS_TOKEN, and METRICS_ADDRESS, a listener of its
own in each web and worker process, which is to be reached from inside a private network only.

Without either setting the page is closed in production, and open on a laptop.
"""

import contextlib
import hmac
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from knowledge import callbacks, queue
from tenants.callers import headers_of
from tenants.errors import ApiError, trace_id_of
from tenants.metrics import REGISTRY, SHARED

log = structlog.get_logger(__name__)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DATABASE_SECONDS = 2.0  # that a scrape waits for the figures that the database holds; then it goes without them
WAITING = {
    "support_chat_documents_unfinished": "Documents that wait or are being ingested",
    "support_chat_documents_oldest_waiting_seconds": "Age of the document that has waited longest for a worker",
    "support_chat_callbacks_waiting": "Callbacks that were not delivered yet",
    "support_chat_callbacks_oldest_seconds": "Age of the oldest of them",
}


class Waiting(Collector):
    """What waits, as the database knows at the moment of the scrape. Every process tells the same figures."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._asked: Future[list[float]] | None = None

    def describe(self) -> Iterator[GaugeMetricFamily]:
        return (GaugeMetricFamily(name, text) for name, text in WAITING.items())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if self._asked is None or self._asked.done():  # one that hangs is not joined by another
            self._asked = self._thread.submit(_waiting)
        try:
            figures = self._asked.result(DATABASE_SECONDS)
        except Exception as error:  # noqa: BLE001 - the database is away: no figure is better than an old one
            log.warning("what waits could not be counted", error=type(error).__name__)
            return
        for (name, text), figure in zip(WAITING.items(), figures, strict=True):
            yield GaugeMetricFamily(name, text, figure)


def _waiting() -> list[float]:
    try:
        return [queue.depth(), queue.oldest_waiting(), *callbacks.waiting()]
    finally:
        connection.close()


def _registry() -> CollectorRegistry:
    """All figures of this process; in a worker, of its whole cluster."""
    if SHARED not in os.environ:
        REGISTRY.register(Waiting())
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    ProcessCollector(registry=registry)
    registry.register(Waiting())
    return registry


REGISTERED = _registry()


async def page(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI: the figures of this web process, to whoever shows METRICS_TOKEN. The Host header is no matter here."""
    headers = headers_of(scope["headers"])
    if error := _refusal(headers.get("authorization", "")):
        trace_id = trace_id_of(headers.get("x-request-id"))
        return await _send(send, error.status, "application/json", json.dumps(error.body(trace_id)).encode())
    return await _send(
        send, 200, CONTENT_TYPE, await sync_to_async(generate_latest, thread_sensitive=False)(REGISTERED)
    )


def _refusal(authorization: str) -> ApiError | None:
    if not settings.METRICS_TOKEN:
        return ApiError("NOT_FOUND", "There is nothing at this address.") if settings.PRODUCTION else None
    if hmac.compare_digest(authorization.encode(), f"Bearer {settings.METRICS_TOKEN}".encode()):
        return None
    return ApiError("INVALID_API_KEY", "The metrics need their token.", headers={"WWW-Authenticate": "Bearer"})


async def _send(send: Any, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"Content-Type", content_type.encode()), (b"Cache-Control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def listen() -> None:
    """Serve the figures at METRICS_ADDRESS, if one is set, in a thread of their own. CommandError if it is taken."""
    if not settings.METRICS_ADDRESS:
        return
    host, _, port = settings.METRICS_ADDRESS.rpartition(":")
    try:
        start_http_server(int(port), host.strip("[]") or "127.0.0.1", REGISTERED)
    except (OSError, ValueError) as error:
        raise CommandError(f"METRICS_ADDRESS {settings.METRICS_ADDRESS} can't be listened at: {error}") from error


@contextlib.contextmanager
def of_cluster() -> Iterator[None]:
    """A supervisor's: serve, and remove the files that its processes counted in."""
    listen()
    try:
        yield
    finally:
        if SHARED in os.environ:
            shutil.rmtree(os.environ[SHARED], ignore_errors=True)
