"""Fewer round trips to PostgreSQL, each of which costs two processes a wait and a waking."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connection


@contextmanager
def saved() -> Iterator[None]:
    """For the whole of a transaction, before it has begun: statements of tenants/statements.py go out at once and are
    waited for where their rows are read; what is left is waited for together with the COMMIT.

    Anything else that asks the database (the ORM, a savepoint) ends that first and goes on as ever, since it counts
    rows and catches errors where they happen. An error may show at a later statement of the block, or at its end.
    """
    from psycopg import Cursor  # on SQLite it is never loaded

    raw: Any = connection.connection
    with ExitStack() as pipeline:

        def end(execute: Callable[..., Any], *statement: Any) -> Any:
            pipeline.close()
            return execute(*statement)

        pipeline.enter_context(connection.wrap_database_errors)
        raw.autocommit = True  # psycopg would begin the transaction by itself, and wait for that
        pipeline.enter_context(raw.pipeline())
        Cursor(raw).execute("BEGIN")
        with connection.execute_wrapper(end):
            yield
        if raw.pgconn.pipeline_status and not connection.needs_rollback:
            Cursor(raw).execute("COMMIT")


@contextmanager
def waited_for() -> Iterator[None]:
    """After the block what it asked, and everything before it, is done."""
    raw: Any = connection.connection
    if connection.vendor != "postgresql" or not raw.pgconn.pipeline_status:
        yield
        return
    with connection.wrap_database_errors, raw.pipeline():  # leaving an inner one waits
        yield
