"""What the gate costs a request, on Redis and in the process."""

import time

import pytest
from pytest_django import Settings

from billing.limits import admit
from tenants.models import Client

pytestmark = pytest.mark.soak  # figures depend on the machine: `make bench` prints them

ROUNDS = 300


@pytest.mark.parametrize(("where", "budget_ms"), [("redis", 1.0), ("process", 0.1)])
async def test_gate(acme: Client, settings: Settings, where: str, budget_ms: float) -> None:
    """The median of one admission after another; CPU time is part of it, the scheduler's moods are not."""
    if where == "process":
        settings.REDIS_URL = ""
    acme.hourly_limit = 10 * ROUNDS
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await admit(acme)
        times.append((time.perf_counter() - started) * 1000)
    median = sorted(times)[ROUNDS // 2]
    print(f"gate on {where}: median {median:.3f} ms, p95 {sorted(times)[int(ROUNDS * 0.95)]:.3f} ms")
    assert median <= budget_ms
