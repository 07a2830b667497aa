"""A connection waits for what the server says, and only for that; a web process's not for ever."""

import os
import time
from typing import Any

import psycopg
import pytest
from psycopg.waiting import Wait
from psycopg_pool import ConnectionPool
from pytest_django import Settings

from config.database import MARGIN, Connection, ImpatientConnection
from tests.faults.proxy import proxy
from tests.faults.stage import postgres_address, through

pytestmark = pytest.mark.django_db  # whose tables come with the role


def test_a_silent_server_costs_seconds_and_the_pool_recovers(settings: Settings) -> None:
    settings.DATABASE_STATEMENT_SECONDS = 0.2
    with proxy(postgres_address()) as between:
        url = through(os.environ["DATABASE_URL"], between)
        kwargs = {"autocommit": True}
        with ConnectionPool(url, connection_class=ImpatientConnection, kwargs=kwargs, min_size=1, timeout=10) as pool:
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
    with ImpatientConnection.connect(url, autocommit=True, options="-c statement_timeout=100") as connection:
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(5)")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_statements_of_a_pipeline_go_out_without_a_wait_each(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[Wait] = []

    def watched(gen: Any) -> Any:
        heard = None
        try:
            while True:
                waits.append(Wait(gen.send(heard)))
                heard = yield int(waits[-1])
        except StopIteration as done:
            return done.value

    real = psycopg.waiting.wait
    with Connection.connect(os.environ["DATABASE_URL"], autocommit=True) as connection, connection.pipeline():
        monkeypatch.setattr(psycopg.waiting, "wait", lambda gen, *args, **options: real(watched(gen), *args, **options))
        cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(9)]
        assert waits == []
        assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(9)]
        assert set(waits) == {Wait.R}


def test_a_pipeline_of_more_than_the_sockets_take_loses_nothing() -> None:
    with Connection.connect(os.environ["DATABASE_URL"], autocommit=True) as connection, connection.pipeline():
        texts = [str(number % 10) * 1_000_000 for number in range(20)]
        cursors = [connection.execute("SELECT %s", (text,)) for text in texts]
        assert [cursor.fetchone() for cursor in cursors] == [(text,) for text in texts]
