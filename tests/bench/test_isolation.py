"""What both barriers cost the chat path: the same questions with the scope's condition and the policies on and off."""

import json
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from channels.routing import URLRouter
from channels.testing import HttpCommunicator
from django.conf import settings
from django.db import connection

from chat import routing
from tenants import row_security, scoping
from tenants.models import Client
from tests.isolation.rows import OWNED
from tests.isolation.test_barriers import owner_connection
from tests.knowledge.test_search import BOOTS, SHIPPING, learn

ROUNDS = 8  # of PER_ROUND questions each way, taking turns, so that the machine's moods hit both alike
PER_ROUND = 5
BUDGET = 0.05

pytestmark = [
    pytest.mark.soak,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("postgres" not in settings.DATABASE_URL, reason="only PostgreSQL has both"),
]


@contextmanager
def barriers_off(owner: psycopg.Connection[Any]) -> Iterator[None]:
    """No policy, no signed scope, no condition. (A scope is still a transaction: it is what makes work atomic.)"""
    statements = "".join(f'ALTER TABLE "{model._meta.db_table}" {{}} ROW LEVEL SECURITY;' for model in OWNED)
    kept = scoping.InScope.as_sql, row_security.open_scope, row_security.close_scope
    owner.execute(statements.replace("{}", "DISABLE"))
    scoping.InScope.as_sql = lambda self, compiler, connection, **extra: ("1=1", [])  # type: ignore[method-assign]
    row_security.open_scope = row_security.close_scope = lambda *args: None
    try:
        yield
    finally:
        scoping.InScope.as_sql, row_security.open_scope, row_security.close_scope = kept  # type: ignore[method-assign]
        owner.execute(statements.replace("{}", "ENABLE"))


async def ask(key: str, number: int) -> float:
    """Milliseconds of one answered question, not from the cache."""
    body = {"message": f"How long do I have to return boots, order {number}?", "sessionId": str(uuid.uuid4())}
    headers = [(b"x-api-key", key.encode())]
    communicator = HttpCommunicator(
        URLRouter(routing.http_routes), "POST", "/api/widget/chat", json.dumps(body).encode(), headers
    )
    started = time.perf_counter()
    response = await communicator.get_response(timeout=30)
    elapsed = (time.perf_counter() - started) * 1000
    assert response["status"] == 200, response["body"]
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(5)
    return elapsed


@pytest.fixture
def pool(transactional_db: None) -> Iterator[None]:
    """Connections that stay open, as in the web processes."""
    connection.close()
    connection.settings_dict["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 40, "timeout": 5}
    yield
    connection.close()
    connection.close_pool()
    del connection.settings_dict["OPTIONS"]["pool"]


@pytest.mark.usefixtures("pool")
def test_isolation(acme: Client, acme_key: str) -> None:
    learn(acme, "returns", BOOTS, SHIPPING)
    Client.objects.filter(pk=acme.pk).update(hourly_limit=10_000)
    with owner_connection() as owner:
        on, off = async_to_sync(measure)(acme_key, owner)
    cost = statistics.median(on) / statistics.median(off) - 1
    print(
        f"isolation: median {statistics.median(on):.1f} ms with, {statistics.median(off):.1f} ms without: {cost:+.1%}"
    )
    assert cost <= BUDGET


async def measure(key: str, owner: psycopg.Connection[Any]) -> tuple[list[float], list[float]]:
    """Milliseconds of each question with the barriers and without."""
    numbers = iter(range(10_000))
    on: list[float] = []
    off: list[float] = []
    for round in range(ROUNDS + 1):
        with_barriers = [await ask(key, next(numbers)) for _ in range(PER_ROUND)]
        with barriers_off(owner):
            without = [await ask(key, next(numbers)) for _ in range(PER_ROUND)]
        if round:  # the first one warms up
            on += with_barriers
            off += without
    return on, off
