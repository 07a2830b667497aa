"""What both barriers cost the chat path: the same questions with the scope's condition and the policies on and off."""

import asyncio
import json
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import HttpCommunicator
from django.conf import settings

from chat import routing
from tenants import row_security, scoping
from tenants.models import Client
from tests.isolation.rows import OWNED
from tests.isolation.test_barriers import owner_connection
from tests.knowledge.test_search import BOOTS, SHIPPING, learn

ROUNDS = 12  # of PER_ROUND questions each way, taking turns, so that the machine's moods hit both alike
PER_ROUND = 5
BUDGET = 0.05

pytestmark = [
    pytest.mark.soak,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("postgres" not in settings.DATABASE_URL, reason="only PostgreSQL has both"),
]


@contextmanager
def barriers_off() -> Iterator[None]:
    """No policy, no signed scope, no condition. (A scope is still a transaction: it is what makes work atomic.)"""
    statements = "".join(f'ALTER TABLE "{model._meta.db_table}" {{}} ROW LEVEL SECURITY;' for model in OWNED)
    kept = scoping.InScope.as_sql, row_security.open_scope, row_security.close_scope
    with owner_connection() as owner:
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


def test_isolation(acme: Client, acme_key: str, settings: Any) -> None:
    learn(acme, "returns", BOOTS, SHIPPING)
    Client.objects.filter(pk=acme.pk).update(hourly_limit=10_000)
    numbers = iter(range(10_000))

    def measure() -> list[float]:
        async def several() -> list[float]:
            return [await ask(acme_key, next(numbers)) for _ in range(PER_ROUND)]

        return asyncio.run(several())

    measure()
    on: list[float] = []
    off: list[float] = []
    for _ in range(ROUNDS):
        on += measure()
        with barriers_off():
            off += measure()
    cost = statistics.median(on) / statistics.median(off) - 1
    print(
        f"isolation: median {statistics.median(on):.1f} ms with, {statistics.median(off):.1f} ms without: {cost:+.1%}"
    )
    assert cost <= BUDGET
