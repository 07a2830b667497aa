"""Is the product well? `unhealthy` (503) only when it can't serve chat at all."""

import asyncio
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from config.errors import read_only
from knowledge import queue
from knowledge.vectors import VectorStore
from tenants.redis_nodes import connected

CHECK_SECONDS = 2.0  # deadline of each check, and how long an answer is remembered
QUEUE_CAPACITY = 1000
_checking = threading.Lock()  # who asks meanwhile hears the same, so a service that hangs holds one thread
_remembered: tuple[float, dict[str, Any]] = (0.0, {})


@read_only
def health(request: HttpRequest) -> HttpResponse:
    """The contract's health body."""
    global _remembered
    with _checking:
        expires, body = _remembered
        if expires <= time.monotonic():
            body = async_to_sync(_check)()
            _remembered = (time.monotonic() + CHECK_SECONDS, body)
    body = {**body, "timestamp": datetime.now(UTC).isoformat()}
    return JsonResponse(body, status=503 if body["status"] == "unhealthy" else 200)


@read_only
def live(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "live"})


@read_only
def ready(request: HttpRequest) -> HttpResponse:
    """Chat can be served."""
    return health(request)


async def _check() -> dict[str, Any]:
    checks = {"database": _database, "qdrant": _vectors, "redis": _redis, "anthropic": _anthropic, "openai": _openai}
    results = await asyncio.gather(*(_within_deadline(check) for check in (queue.depth, *checks.values())))
    (counted, size), *answers = results
    services = {name: well for name, (well, _) in zip(checks, answers, strict=True)}
    return {
        "status": _status(services, counted and size < QUEUE_CAPACITY),
        "version": settings.VERSION,
        "queueSize": size or 0,
        "queueCapacity": QUEUE_CAPACITY,
        "services": services,
    }


def _status(services: dict[str, bool], queue_has_room: bool) -> str:
    if not (services["database"] and services["qdrant"]):
        return "unhealthy"
    return "healthy" if all(services.values()) and queue_has_room else "degraded"


async def _within_deadline(check: Callable[[], Any]) -> tuple[bool, Any]:
    """Did it answer in time, and what?"""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return True, await database_sync_to_async(check, thread_sensitive=False)()
    except Exception:  # noqa: BLE001 - whatever the reason, the service is not well
        return False, None


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _vectors() -> None:
    VectorStore.for_client(uuid.UUID(int=0)).count()  # nobody's points: a whole round trip that touches no client


def _redis() -> None:
    if settings.REDIS_URL and settings.REDIS_CLUSTER:
        with connected(CHECK_SECONDS) as redis:
            redis.ping(target_nodes="primaries")
    elif settings.REDIS_URL:
        cache.get("health")


def _openai() -> None:
    if settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL:
        _reachable(settings.OPENAI_BASE_URL or "https://api.openai.com")


def _anthropic() -> None:
    if settings.ANTHROPIC_API_KEY or settings.ANTHROPIC_BASE_URL:
        _reachable(settings.ANTHROPIC_BASE_URL or "https://api.anthropic.com")


def _reachable(url: str) -> None:
    """Does anything listen there? (A call would cost money; whether a key is good shows in the first answer.)"""
    parts = urlsplit(url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    socket.create_connection((parts.hostname or "", port), CHECK_SECONDS).close()
