"""Reports: reads that are heavy and may be some seconds old, from a streaming replica where there is one.

`read(report, ...)` runs a function that only reads, in the scope that is entered. With DATABASE_REPLICA_URL its
queries go to the replica, which is told of the same signed scope and has the same policies, so both barriers between
clients stand there, too. A replica that can't be reached, fails on the way or is too far behind costs no report: the
function runs on the primary, from its beginning. What decides a write, a limit, a bill, a permission or an answer is
no report.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, OperationalError, connection, connections

from tenants import scoping
from tenants.circuit import Circuit
from tenants.metrics import Counter

REPLICA = "replica"
QUERY_CANCELED = "57014"  # SQLSTATE: the statement took longer than it may, and would on the primary too
# Is it a replica that has replayed a position of the primary's log, or else a commit of the last seconds?
FRESH = """
SELECT pg_is_in_recovery() AND coalesce(
    pg_last_wal_replay_lsn() >= %(position)s::pg_lsn,
    pg_last_xact_replay_timestamp() > clock_timestamp() - make_interval(secs => %(seconds)s),
    false)
"""
REPORTS = Counter("support_chat_reports", "Reports by the database that they were read from", ["database"])

P = ParamSpec("P")
Found = TypeVar("Found")
_circuit = Circuit("reports go on", "the replica")
_circuit.REST_SECONDS = 10.0  # a trial may cost its report the time that a connection has


class Behind(OperationalError):
    """The replica has not replayed what the report must hold."""


class Router:
    """Where the ORM reads and writes: the replica is read by reports, written by nobody and migrated by its primary.

    A row that came out of a report is changed on the primary, as any other.
    """

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return scoping.report_database() or DEFAULT_DB_ALIAS

    def db_for_write(self, model: Any, **hints: Any) -> str:
        scoping.refuse_in_report(f"{model._meta.label} was to be written")
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db != REPLICA


def read(report: Callable[P, Found], *args: P.args, **kwargs: P.kwargs) -> Found:
    """What `report` returns, which may be as old as DATABASE_REPLICA_SECONDS.

    Writes and other scopes in it raise scoping.OnlyReads, with a replica or without; no scope raises NoClientInScope.
    """
    return read_since(None, report, *args, **kwargs)


def read_since(position: str | None, report: Callable[P, Found], *args: P.args, **kwargs: P.kwargs) -> Found:
    """`read`, of all that was there when `position()` was asked, however long ago."""
    replicated = REPLICA in settings.DATABASES
    if replicated and _circuit.may_try():
        try:
            return _from_replica(position, report, *args, **kwargs)
        except Error as error:
            connections[REPLICA].close()  # it may be broken, or belong to a server that is gone
            if getattr(error.__cause__, "sqlstate", None) == QUERY_CANCELED:
                raise
            if position is None or not isinstance(error, Behind):  # it may be well, and not as far as this one position
                _circuit.failed(error)
    with scoping.reading(DEFAULT_DB_ALIAS):
        found = report(*args, **kwargs)
    if replicated:
        REPORTS.labels("primary").inc()
    return found


def position() -> str | None:
    """How far the primary's log has come, for `read_since`; None where there is no replica."""
    if REPLICA not in settings.DATABASES:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn()")
        return cursor.fetchone()[0]


def _from_replica(position: str | None, report: Callable[P, Found], *args: P.args, **kwargs: P.kwargs) -> Found:
    with scoping.reading(REPLICA):
        _demand_freshness(position)
        _circuit.worked()
        found = report(*args, **kwargs)
    REPORTS.labels(REPLICA).inc()
    return found


def _demand_freshness(since: str | None) -> None:
    """Behind unless the replica has replayed the position `since`, or else is at most DATABASE_REPLICA_SECONDS old."""
    if not _fresh(since) and (since or not _fresh(position())):  # nothing may have been committed for a while
        raise Behind("the replica is too far behind")


def _fresh(since: str | None) -> bool:
    with connections[REPLICA].cursor() as cursor:
        cursor.execute(FRESH, {"position": since, "seconds": settings.DATABASE_REPLICA_SECONDS})
        return cursor.fetchone()[0]
