"""The rows of a PostgreSQL database, written with COPY from one snapshot, and read back.

pg_dump is not used: under forced row-level security it needs a role that no policy binds, and a client at least as new
as the server. COPY runs in a transaction of this process, which may open the scope of every client. What is written
is COPY's text format, gzipped, one file a table: `zcat FILE | psql -c "COPY … FROM STDIN"` reads it, too.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from config.backups.manifest import BadBackup, Manifest
from knowledge.models import DocumentVersion
from tenants.invariants import frozen
from tenants.scoping import unscoped

LEFT_OUT = {"django_session", "django_q_ormq", "django_q_task"}  # logins, and jobs, which the rows bring about again
BEFORE = "before_restore"  # the schema in which the present rows wait for a restore to succeed


class Snapshot:
    """One moment of the database."""

    def files(self) -> dict[str, str]:
        """Stored files that rows name, with their digests."""
        return dict(DocumentVersion.objects.exclude(file="").values_list("file", "sha256"))

    def write(self, directory: Path) -> Manifest:
        """Write every table into `directory`; what the manifest has to say of them."""
        directory.mkdir(exist_ok=True)
        tables = {name: _table(name, columns, directory) for name, columns in _tables().items()}
        return {"vendor": "postgresql", "tables": tables, "migrations": sorted(_applied())}


@contextmanager
def snapshot(directory: Path) -> Iterator[Snapshot]:
    """Rows as they are now, whatever is written meanwhile."""
    with frozen(), unscoped("a backup holds every client"):
        yield Snapshot()


class Replacement:
    """The rows of a backup in place of the present ones, which wait in a schema of their own until all is well."""

    def __init__(self, directory: Path, manifest: Manifest):
        self._directory, self._manifest = directory, manifest

    def put_in_place(self) -> None:
        """The schema as it was at the time of the backup, and its rows. BadBackup if they are not complete."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {BEFORE} CASCADE")
            cursor.execute(f"ALTER SCHEMA public RENAME TO {BEFORE}")
            cursor.execute("CREATE SCHEMA public")
        executor = MigrationExecutor(connection)
        executor.migrate(_leaves(executor, {(app, name) for app, name in self._manifest["migrations"]}))
        with transaction.atomic(), connection.cursor() as cursor:
            for name in self._manifest["tables"]:  # migrations put rows in, too
                cursor.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.Identifier(name)))
            for name, table in self._manifest["tables"].items():
                _load(cursor, name, table, self._directory)

    def forget_old(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {BEFORE} CASCADE")

    def undo(self) -> None:
        """The present rows as they were."""
        connection.close()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT to_regnamespace(%s) IS NOT NULL", [BEFORE])
            if cursor.fetchone()[0]:
                cursor.execute("DROP SCHEMA IF EXISTS public CASCADE")
                cursor.execute(f"ALTER SCHEMA {BEFORE} RENAME TO public")


def in_use() -> int:
    """Connections that others have to this database: processes of the product, as a rule."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return cursor.fetchone()[0]


def _tables() -> dict[str, list[str]]:
    """Every table of the product, with its columns."""
    found = {}
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        if meta.managed and not meta.proxy and meta.db_table not in LEFT_OUT:
            found[meta.db_table] = [field.column for field in meta.local_concrete_fields if field.column]
    return found


def _applied() -> list[tuple[str, str]]:
    return list(MigrationRecorder(connection).applied_migrations())


def _table(name: str, columns: list[str], directory: Path) -> dict[str, Any]:
    query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(_list(columns), sql.Identifier(name))
    with gzip.open(directory / f"{name}.copy.gz", "wb", compresslevel=3) as file, connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            for piece in copy:
                file.write(piece)
        return {"columns": columns, "rows": cursor.rowcount}


def _load(cursor: Any, name: str, table: dict[str, Any], directory: Path) -> None:
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), _list(table["columns"]))
    path = directory / f"{name}.copy.gz"
    with connection.wrap_database_errors, gzip.open(path) as file, cursor.copy(query) as copy:
        while piece := file.read(1 << 20):
            copy.write(piece)
    if cursor.rowcount != table["rows"]:
        raise BadBackup(f"The backup is damaged: {name} has {cursor.rowcount} rows of {table['rows']}.")
    for column in table["columns"] if table["rows"] else ():
        cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [f'"{name}"', column])
        if (sequence := cursor.fetchone()[0]) is not None:
            highest = sql.SQL("SELECT setval({}, max({})) FROM {}")
            cursor.execute(highest.format(sql.Literal(sequence), sql.Identifier(column), sql.Identifier(name)))


def _leaves(executor: MigrationExecutor, applied: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The newest migration of each app; to name the ones before it would mean to go back to them."""
    graph = executor.loader.graph
    known = sorted(key for key in applied if key in graph.nodes)
    older = {parent.key for key in known for parent in graph.node_map[key].parents if parent.key[0] == key[0]}
    return [key for key in known if key not in older]


def _list(columns: list[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
