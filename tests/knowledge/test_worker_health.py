"""The worker's health is progress: documents that wait while nothing moves are ill, whatever processes live."""

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.utils import timezone

from config import health
from knowledge.models import DocumentVersion
from tenants.models import Client
from tenants.scoping import client_scope
from tests.knowledge.ingestion import upload

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = timedelta(minutes=3)


def verdict() -> str:
    out = StringIO()
    try:
        call_command("worker_health", stdout=out)
    except CommandError as error:
        return str(error)
    return out.getvalue().strip()


def change(client: Client, version: DocumentVersion, **values: object) -> None:
    with client_scope(client.pk):
        DocumentVersion.objects.filter(pk=version.pk).update(**values)


def test_waiting_without_progress_is_ill_and_any_progress_is_well(
    own_data: Path, acme: Client, stranger: Client
) -> None:
    assert verdict() == "ok"
    waiting, moving = upload(acme), upload(stranger)
    assert verdict() == "ok"  # they came just now
    for client, version in ((acme, waiting), (stranger, moving)):
        change(client, version, created=timezone.now() - LONG_AGO)
    assert verdict().startswith("2 documents wait and nothing has moved")
    change(stranger, moving, heartbeat=timezone.now(), lease="11111111-1111-4111-8111-111111111111")
    assert verdict() == "ok"  # a worker is busy with the stranger's, and comes to the other one
    change(stranger, moving, heartbeat=timezone.now() - LONG_AGO)
    assert verdict().startswith("2 documents wait and nothing has moved")


def test_the_health_page_tells_how_many_wait(own_data: Path, acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(acme)
    for capacity, status in ((2, "healthy"), (1, "degraded")):
        monkeypatch.setattr(health, "_remembered", (0.0, {}))
        monkeypatch.setattr(health, "QUEUE_CAPACITY", capacity)
        body = Browser().get("/health").json()
        assert (body["queueSize"], body["queueCapacity"], body["status"]) == (1, capacity, status)
