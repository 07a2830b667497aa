"""How the product says that it is well, and that it is not."""

from datetime import datetime
from pathlib import Path

import pytest
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


def test_a_live_process_needs_nothing() -> None:
    assert Browser().get("/health/live").json() == {"status": "live"}
