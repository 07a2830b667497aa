"""How the product says that it is well, and that it is not."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import AsyncClient as AsyncBrowser
from django.test import Client as Browser
from pytest_django import Settings

from config import health

SERVICES = {"database": True, "qdrant": True, "redis": True, "anthropic": True, "openai": True}


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_remembered", (0.0, {}))


@pytest.mark.parametrize("path", ["/health", "/api/widget/health", "/health/ready"])
@pytest.mark.django_db(transaction=True)
def test_all_is_well(own_data: Path, path: str) -> None:
    response = Browser().get(path)
    body = response.json()
    assert datetime.fromisoformat(body.pop("timestamp")).tzinfo
    assert (response.status_code, body) == (
        200,
        {"status": "healthy", "version": "0.1.0", "queueSize": 0, "queueCapacity": 1000, "services": SERVICES},
    )


@pytest.mark.django_db(transaction=True)
def test_without_vectors_chat_cannot_be_served(settings: Settings, unused_port: int) -> None:
    settings.QDRANT_URL = f"http://127.0.0.1:{unused_port}"
    response = Browser().get("/health")
    assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
    assert response.json()["services"] == {**SERVICES, "qdrant": False}


@pytest.mark.django_db(transaction=True)
def test_without_redis_or_a_provider_it_is_degraded(own_data: Path, settings: Settings, unused_port: int) -> None:
    settings.OPENAI_BASE_URL = f"http://127.0.0.1:{unused_port}/v1"
    response = Browser().get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["services"] == {**SERVICES, "openai": False}


@pytest.mark.parametrize("silent", [False, True], ids=["broken off", "silent"])
@pytest.mark.django_db(transaction=True)
async def test_a_queue_that_nobody_can_count_is_no_empty_one(
    own_data: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    """All that is asked shares one deadline, and whatever does not come, the body is the contract's."""
    back = threading.Event()

    def depth() -> int:
        if silent:
            back.wait(30)
        raise OperationalError

    monkeypatch.setattr(health.queue, "depth", depth)
    started = time.monotonic()
    response = await AsyncBrowser().get("/health")  # on a loop that goes on, as in the web process
    took = time.monotonic() - started
    back.set()
    assert took < 2 * health.CHECK_SECONDS
    assert (response.status_code, response.json()["status"], response.json()["queueSize"]) == (200, "degraded", 0)
    assert response.json()["services"] == SERVICES


@pytest.mark.django_db(transaction=True)
def test_who_asks_at_once_hears_of_one_check(own_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def depth() -> int:
        asked.append(1)
        time.sleep(0.2)
        return 3

    monkeypatch.setattr(health.queue, "depth", depth)
    with ThreadPoolExecutor(5) as threads:
        responses = list(threads.map(lambda _: Browser().get("/health"), range(5)))
    assert [response.json()["queueSize"] for response in responses] == [3] * 5
    assert len(asked) == 1


def test_a_live_process_needs_nothing() -> None:
    assert Browser().get("/health/live").json() == {"status": "live"}
