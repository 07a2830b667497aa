"""Connections to PostgreSQL: a statement that only goes out is not waited for, and a server that says nothing costs a
request of the web process seconds, not for ever.

`statement_timeout` is the server's own deadline, which one that is stopped, swapped out or behind a dead network does
not keep; so there is one on this side, too. Migrations, backups and workers take as long as they need.
"""

from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from psycopg.waiting import Ready, Wait

MARGIN = 1.0  # seconds in which a server that is well has told that it cancelled a statement
AT_ONCE = 3  # what a statement in a pipeline sends: it is prepared, it is executed, and nothing more
REPLICA_SECONDS = 2  # that a report waits for a connection to the replica; libpq knows no shorter time


class Connection(psycopg.Connection[Any]):
    """Waits for what the server says, and not for the socket to take a statement of a pipeline."""

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        return super().wait(_sent_at_once(gen) if self.pgconn.pipeline_status else gen, *args, **options)


class ImpatientConnection(Connection):
    """Closed when the server has said nothing for MARGIN longer than a statement may take: OperationalError."""

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        options.setdefault("timeout", settings.DATABASE_STATEMENT_SECONDS + MARGIN)
        try:
            return super().wait(gen, *args, **options)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:  # not the server's word: nobody knows what this connection would say next
                self.pgconn.finish()
            raise


def _sent_at_once(gen: Any) -> Any:
    """What `gen` sends is written without asking whether the socket takes it, as it does: what it does not take, libpq
    keeps. Asking hands the interpreter to another thread, and back, for every statement of a pipeline."""
    sent = 0
    try:
        wants = next(gen)
        while True:
            at_once = wants == Wait.RW and sent < AT_ONCE
            sent += at_once
            wants = gen.send(Ready.W if at_once else (yield wants))
    except StopIteration as done:
        return done.value


def replica_of(primary: dict[str, Any], replica: dict[str, Any]) -> dict[str, Any]:
    """Django's settings of the read replica: the primary's, at another address. ImproperlyConfigured if it is none.

    Nothing is connected before the first report.
    """
    if not all("postgresql" in database["ENGINE"] for database in (primary, replica)):
        raise ImproperlyConfigured("DATABASE_REPLICA_URL is for PostgreSQL only, and so is DATABASE_URL beside it.")
    if replica["USER"] != primary["USER"]:
        raise ImproperlyConfigured(
            "DATABASE_REPLICA_URL connects as the role of DATABASE_URL, which the policies bind."
        )
    options = {**primary["OPTIONS"], "connect_timeout": REPLICA_SECONDS, **replica.get("OPTIONS", {})}
    if "pool" in options:
        options["pool"] = {
            **options["pool"],
            "min_size": 0,
            "timeout": REPLICA_SECONDS,
            "reconnect_timeout": REPLICA_SECONDS,
        }
    return {**primary, **replica, "OPTIONS": options, "TEST": {"MIRROR": "default"}}
