"""Every test meets two clients with data: the one it is about, and a stranger."""

import inspect
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
import hypothesis
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import TransactionTestCase
from pytest_django import Settings

from knowledge.vectors import embedded
from tenants import callers, erasure, keys, threads
from tenants.models import Client
from tests.redis_cluster import Cluster, cluster, use_cluster
from tests.services import free_port

# These machines are shared and slow at times: how long an example takes says nothing.
hypothesis.settings.register_profile("tests", deadline=None, max_examples=60)
hypothesis.settings.load_profile("tests")


# What takes longest, with hardly any parallel work in it, begins first: the suite lasts as long as its last process.
LONG = ("tests/flows/", "tests/faults/", "tests/browser/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


HOUR, LEFT_OF_HOUR = 3600, 45  # seconds; hardly any test takes so long


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What is limited and billed by the clock hour is tested within one hour, not over its turn."""
    left = HOUR - time.time() % HOUR
    if left < LEFT_OF_HOUR:
        time.sleep(left)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Async tests run as Django's own do, so that the ORM in them shares the test's connection."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    try:
        async_to_sync(pyfuncitem.obj)(**arguments)
    finally:
        threads.finish()  # an answer's row may still be completed, which would meet the emptying of the tables
    return True


def connect_as(variable: str) -> None:
    """Let every connection from now on be of the role that an environment variable's URL names."""
    if connection.vendor == "postgresql":
        connection.close()
        address = environ.Env.db_url_config(os.environ[variable])
        connection.settings_dict.update({name: address.get(name) or "" for name in ("USER", "PASSWORD")})


@contextmanager
def as_owner() -> Iterator[None]:
    """Make, empty and drop tables, as `migrate` does. The product under test is never the tables' owner."""
    connect_as("DATABASE_OWNER_URL")
    try:
        yield
    finally:
        connect_as("DATABASE_URL")


@pytest.fixture(scope="session")
def django_db_setup(_made_by_owner: None, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        connect_as("DATABASE_URL")
        yield
        connect_as("DATABASE_OWNER_URL")


@pytest.fixture(scope="session")
def _made_by_owner(django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        connect_as("DATABASE_OWNER_URL")


_empty_tables = TransactionTestCase._fixture_teardown


def _empty_tables_as_owner(case: TransactionTestCase) -> None:
    with as_owner():
        _empty_tables(case)


TransactionTestCase._fixture_teardown = _empty_tables_as_owner


@pytest.fixture(autouse=True)
def _fresh_process_memory() -> None:
    callers.forget_callers()
    if server := sys.modules.get("knowledge.vectors.server"):  # it remembers the address of an earlier test's server
        server.disconnect()


@pytest.fixture(autouse=True)
def _nothing_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deletions need not wait for requests to end."""
    monkeypatch.setattr(erasure, "SETTLE", timedelta(0))


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


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries."""
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(params=["one redis", "cluster"])
def each_redis(request: pytest.FixtureRequest, settings: Settings) -> None:
    """For a test that holds on one Redis and on a cluster."""
    if request.param == "cluster":
        use_cluster(settings, request.getfixturevalue("redis_cluster"))


@pytest.fixture
def own_data(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """Vectors and files of this test lie in a directory of its own."""
    embedded.release()
    settings.DATA_DIR = tmp_path
    settings.MEDIA_ROOT = tmp_path / "files"
    yield tmp_path
    embedded.release()
