"""A web process's connection does not wait for ever for a server that says nothing."""

import os
import time

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from pytest_django import Settings

from config.database import MARGIN, Connection
from tests.faults.proxy import proxy
from tests.faults.stage import postgres_address, through


def test_a_silent_server_costs_seconds_and_the_pool_recovers(settings: Settings) -> None:
    settings.DATABASE_STATEMENT_SECONDS = 0.2
    with proxy(postgres_address()) as between:
        url = through(os.environ["DATABASE_URL"], between)
        kwargs = {"autocommit": True}
        with ConnectionPool(url, connection_class=Connection, kwargs=kwargs, min_size=1, timeout=10) as pool:
            with pool.connection() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
                between.hang()
                began = time.monotonic()
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 2")
                assert 0.2 + MARGIN <= time.monotonic() - began < 3
                assert connection.closed
            between.heal()
            with pool.connection() as connection:
                assert connection.execute("SELECT 3").fetchone() == (3,)


def test_an_error_that_the_server_tells_leaves_the_connection_open(settings: Settings) -> None:
    settings.DATABASE_STATEMENT_SECONDS = 5.0
    url = os.environ["DATABASE_URL"]
    with Connection.connect(url, autocommit=True, options="-c statement_timeout=100") as connection:
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(5)")
        assert connection.execute("SELECT 1").fetchone() == (1,)
