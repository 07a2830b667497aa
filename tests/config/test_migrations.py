"""A release's migrations never hold a lock on a table that has grown: what would is found here, or gives up soon."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, RemoveIndexConcurrently
from django.db import connection, models
from django.db.migrations import Migration
from django.db.migrations import operations as ops
from django.db.migrations.loader import MigrationLoader

ROOT = Path(__file__).resolve().parents[2]

# The first release is made of the migrations up to these numbers: they meet empty tables only.
FIRST_RELEASE = {"billing": 9, "chat": 9, "knowledge": 9, "tenants": 9}
# What later ones do while a table is locked, and why that is short: (app, migration, operation) -> reason.
KNOWN: dict[tuple[str, str, str], str] = {}


def locking(migration: Migration) -> Iterator[str]:
    """The operations that may read or rewrite an existing table, or index it, while nobody may write to it."""
    made = {operation.name.lower() for operation in migration.operations if isinstance(operation, ops.CreateModel)}
    for operation in migration.operations:
        name = getattr(operation, "model_name_lower", "")
        if name not in made and _locks(operation):
            yield f"{type(operation).__name__} {name}".strip()


def _locks(operation: Any) -> bool:
    quick = AddIndexConcurrently | RemoveIndexConcurrently | AddConstraintNotValid
    if isinstance(operation, quick):
        return False
    if isinstance(operation, ops.AddField):
        return not _quickly_added(operation.field)
    return isinstance(operation, ops.AddIndex | ops.AddConstraint | ops.AlterField | ops.RunPython | ops.RunSQL)


def _quickly_added(field: models.Field) -> bool:
    """A column that needs no index and no rewrite: PostgreSQL keeps a constant default in its catalogue."""
    volatile = callable(field.default) and field.default not in (dict, list, str)
    return not (field.db_index or field.unique or field.is_relation or volatile)


def test_every_operation_that_locks_a_grown_table_is_known() -> None:
    found = {
        (app, name, operation)
        for (app, name), migration in MigrationLoader(None).disk_migrations.items()
        if app in FIRST_RELEASE and int(name[:4]) > FIRST_RELEASE[app]
        for operation in locking(migration)
    }
    assert found == set(KNOWN)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (ops.AddField("message", "note", models.TextField(default="")), []),
        (ops.AddField("message", "note", models.TextField(default="", db_index=True)), ["AddField message"]),
        (ops.AddField("message", "to", models.ForeignKey("x.y", models.CASCADE, null=True)), ["AddField message"]),
        (ops.AlterField("message", "text", models.CharField(max_length=9)), ["AlterField message"]),
        (ops.AddIndex("message", models.Index(fields=["text"], name="i")), ["AddIndex message"]),
        (AddIndexConcurrently("message", models.Index(fields=["text"], name="i")), []),
        (ops.RunSQL("UPDATE chat_message SET text = ''"), ["RunSQL"]),
        (ops.AddIndex("new", models.Index(fields=["text"], name="i")), []),
    ],
)
def test_the_check_tells_quick_operations_from_slow_ones(operation: Any, expected: list[str]) -> None:
    migration = Migration("x", "chat")
    migration.operations = [ops.CreateModel("New", []), operation]
    assert list(locking(migration)) == expected


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer and no lock time-outs")
def test_migrate_gives_up_a_lock_that_it_does_not_get() -> None:
    code = (
        "import sys, django; sys.argv = ['manage.py', 'migrate']; django.setup()\n"
        "from django.db import connection\n"
        "cursor = connection.cursor(); cursor.execute('SHOW lock_timeout'); print(cursor.fetchone()[0])"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "5s", done.stderr
