"""Billing's tests start with an empty process memory and their own Redis database."""

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from billing import alerts, budgets, plans
from billing.limits import hours, slots, store, visitors


@pytest.fixture(autouse=True)
def _fresh_billing_memory() -> Iterator[None]:
    for module in (plans, budgets, alerts, hours, visitors, slots):
        module.forget()
    store.breaker.resting_until = 0.0
    yield
    plans.forget()


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    """The Redis behind the gate, to look into it or flush it."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client
