"""A cluster's primary dies or stands still: the reply arrives, no quota appears, and the gate finds its way back."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from billing import ledger
from billing.limits import admit, hours, store
from billing.models import HourCount
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope
from tests.redis_cluster import Cluster, Node, cluster, use_cluster

pytestmark = pytest.mark.django_db(transaction=True)
RECOVERY = 30.0  # seconds


@pytest.fixture
def lone(tmp_path: Path, settings: Settings) -> Iterator[Cluster]:
    """Primaries without replicas."""
    with cluster(tmp_path / "lone") as found:
        use_cluster(settings, found)
        yield found


@pytest.fixture
def doubled(tmp_path: Path, settings: Settings) -> Iterator[Cluster]:
    """Each primary has a replica."""
    with cluster(tmp_path / "doubled", replicas=3) as found:
        use_cluster(settings, found)
        yield found


@pytest.fixture
def capped(acme: Client) -> Client:
    """At most six requests an hour."""
    acme.hourly_limit, acme.hard_cap = 6, True
    acme.save()
    return acme


async def ask(client: Client, number: int) -> float:
    """One request through gate and books; the seconds that the gate took."""
    started = time.monotonic()
    admission = await admit(client)
    took = time.monotonic() - started
    await sync_to_async(_reserve)(client, f"r{number}", admission)
    return took


def _reserve(client: Client, request_id: str, admission: hours.Admission) -> None:
    with client_scope(client.pk):
        ledger.reserve(request_id, client, admission)


async def full(client: Client) -> bool:
    try:
        await admit(client)
    except ApiError as error:
        assert error.code == "RATE_LIMITED"
        return True
    return False


def holder(found: Cluster, client: Client) -> Node:
    return found.holder(f"limits:{{{client.pk}}}")


async def until_well(client: Client) -> None:
    """Somebody asks now and then, as visitors do."""
    deadline = time.monotonic() + RECOVERY
    while store.breaker.resting_until:
        assert time.monotonic() < deadline
        assert await full(client)
        await asyncio.sleep(0.2)


def books(client: Client) -> int:
    with client_scope(client.pk):
        return HourCount.objects.get().places


async def test_a_primary_that_dies_is_counted_for_in_the_books_until_it_returns(
    capped: Client, stranger: Client, lone: Cluster
) -> None:
    await ask(capped, 1)
    await ask(capped, 2)
    with holder(lone, capped).dead():
        times = [await ask(capped, number) for number in (3, 4, 5, 6)]
        assert max(times) < 1.0  # LIMITS_REDIS_DEADLINE is 0.15; the machine may be busy
        assert store.breaker.resting_until
        assert await full(capped)
        await ask(stranger, 1)
    await until_well(capped)
    assert await full(capped)
    assert await sync_to_async(books)(capped) == 6


@pytest.mark.parametrize("how", [Node.dead, Node.hung])
async def test_after_a_failover_the_new_primary_is_found(
    capped: Client, doubled: Cluster, how: Callable[[Node], AbstractContextManager[None]]
) -> None:
    await ask(capped, 1)
    await ask(capped, 2)
    with how(holder(doubled, capped)):
        times = [await ask(capped, number) for number in (3, 4, 5, 6)]
        assert max(times) < 1.0
        await until_well(capped)
        assert await full(capped)
        assert await sync_to_async(books)(capped) == 6
