"""What both barriers cost the chat path: the same questions with the scope's condition and the policies on and off.

What is measured is CPU time, this process's and PostgreSQL's, because waiting for a busy machine says nothing. Pairs
of the same questions with and without take turns, and the median of the pairs' ratios is the cost.
"""

import json
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
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

PAIRS = 16  # each of PER_PAIR questions with the barriers and as many without, in changing order
WARM = 12  # questions until what runs for every question is prepared again on each connection
PER_PAIR = 20
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


async def ask(key: str, number: int) -> None:
    """One answered question, not from the cache."""
    body = {"message": f"How long do I have to return boots, order {number}?", "sessionId": str(uuid.uuid4())}
    headers = [(b"x-api-key", key.encode())]
    communicator = HttpCommunicator(
        URLRouter(routing.http_routes), "POST", "/api/widget/chat", json.dumps(body).encode(), headers
    )
    response = await communicator.get_response(timeout=30)
    assert response["status"] == 200, response["body"]
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(5)


@pytest.fixture
def pool(transactional_db: None) -> Iterator[None]:
    """Connections that stay open and keep what is prepared, as in the web processes."""
    options = connection.settings_dict["OPTIONS"]
    without = dict(options)
    connection.close()
    options.update(pool={"min_size": 1, "max_size": 40, "timeout": 5}, prepare_threshold=5)
    yield
    connection.close()
    connection.close_pool()
    options.clear()
    options.update(without)


@pytest.mark.usefixtures("pool")
def test_isolation(acme: Client, acme_key: str) -> None:
    learn(acme, "returns", BOOTS, SHIPPING)
    Client.objects.filter(pk=acme.pk).update(hourly_limit=10_000)
    with owner_connection() as owner:
        pairs = async_to_sync(measure)(acme_key, owner)
    low, cost, high = statistics.quantiles((on / off - 1 for on, off in pairs), n=4)
    on, off = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"isolation: {on:.1f} ms of CPU a question with, {off:.1f} ms without;"
        f" {PAIRS} pairs: median {cost:+.1%}, half of them between {low:+.1%} and {high:+.1%}"
    )
    assert cost <= BUDGET


async def measure(key: str, owner: psycopg.Connection[Any]) -> list[tuple[float, float]]:
    """Milliseconds of CPU a question: (with the barriers, without)."""
    numbers = iter(range(100_000))
    pairs = []
    for number in range(PAIRS + 2):
        cost = {}
        for barriers in (True, False) if number % 2 else (False, True):
            with nullcontext() if barriers else barriers_off(owner):
                for _ in range(WARM):  # the change has thrown away every plan
                    await ask(key, next(numbers))
                before = cpu_seconds(owner)
                for _ in range(PER_PAIR):
                    await ask(key, next(numbers))
                cost[barriers] = (cpu_seconds(owner) - before) / PER_PAIR * 1000
        pairs.append((cost[True], cost[False]))
    return pairs[2:]  # the first ones warm up


def cpu_seconds(owner: psycopg.Connection[Any]) -> float:
    """Of this process and of all of PostgreSQL's, which are its postmaster's children."""
    backend = owner.info.backend_pid
    postmaster = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1]
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    spent = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in children)  # nanoseconds
    return time.process_time() + spent / 1e9
