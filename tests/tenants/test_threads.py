"""Queries from an event loop: in threads that keep their connection while there is work."""

import contextvars
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from tenants import threads
from tenants.threads import in_thread

pytestmark = pytest.mark.django_db(transaction=True)
asked_by: contextvars.ContextVar[str] = contextvars.ContextVar("asked_by")


def backend() -> int:
    """The server process at the other end of this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


@pytest.fixture(autouse=True)
def one_thread(settings: Settings) -> Iterator[None]:
    settings.DATABASE_THREADS = 1
    threads._threads.cache_clear()
    yield
    threads._threads().submit(lambda: connection.close()).result()
    threads._threads().shutdown()
    threads._threads.cache_clear()


async def test_a_thread_keeps_its_connection_from_call_to_call() -> None:
    assert await in_thread(backend) == await in_thread(backend)


async def test_a_connection_that_rested_is_taken_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    first = await in_thread(backend)
    monkeypatch.setattr(threads, "REST_SECONDS", 0.0)
    assert await in_thread(backend) != first


async def test_a_connection_that_failed_is_taken_anew() -> None:
    def die() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    first = await in_thread(backend)
    with pytest.raises(OperationalError):
        await in_thread(die)
    assert await in_thread(backend) != first


async def test_the_callers_context_goes_along_and_nothing_comes_back() -> None:
    asked_by.set("me")

    def change() -> str:
        found = asked_by.get()
        asked_by.set("somebody else")
        return found

    assert (await in_thread(change), asked_by.get()) == ("me", "me")
