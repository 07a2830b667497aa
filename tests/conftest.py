"""Every test meets two clients with data: the one it is about, and a stranger."""

import inspect
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from tenants import callers, keys
from tenants.models import Client
from tests.services import free_port


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Async tests run as Django's own do, so that the ORM in them shares the test's connection."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    async_to_sync(pyfuncitem.obj)(**arguments)
    return True


@pytest.fixture(autouse=True)
def _fresh_process_memory() -> None:
    callers.forget_callers()


@pytest.fixture
def acme(db: None) -> Client:
    """The paid client that a test is about."""
    return Client.objects.create(name="Acme Outdoor", tier=Client.Tier.PAID)


@pytest.fixture
def stranger(db: None) -> Client:
    """Another paid client, whose data must never be seen."""
    return Client.objects.create(name="Strange Corp", tier=Client.Tier.PAID)


@pytest.fixture
def acme_key(acme: Client) -> str:
    return keys.mint(acme.pk, "publishable")[1]


@pytest.fixture
def stranger_key(stranger: Client) -> str:
    return keys.mint(stranger.pk, "publishable")[1]


@pytest.fixture
def unused_port() -> int:
    return free_port()
