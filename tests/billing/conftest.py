"""Billing's tests start with an empty process memory and their own Redis database."""

from collections.abc import Iterator

import pytest
import redis
from pytest_django import Settings

from billing import alerts, budgets, plans
from billing.limits import hours, slots, store, visitors
from tenants.redis_nodes import connected
from tests.redis_cluster import use_cluster


@pytest.fixture(autouse=True)
def _fresh_billing_memory() -> Iterator[None]:
    for module in (plans, budgets, alerts, hours, visitors, slots):
        module.forget()
    store.breaker.resting_until = 0.0
    yield
    plans.forget()


@pytest.fixture(params=["one redis", "cluster", "in process"])
def each_store(request: pytest.FixtureRequest, settings: Settings) -> None:
    """For a test that holds wherever the gate counts."""
    if request.param == "cluster":
        use_cluster(settings, request.getfixturevalue("redis_cluster"))
    elif request.param == "in process":
        settings.REDIS_URL = ""


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    """The Redis behind the gate, to look into it or flush it."""
    with connected(seconds=5) as client:
        yield client
