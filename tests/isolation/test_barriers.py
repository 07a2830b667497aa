"""Two barriers stand between clients, and each holds alone: the managers, and PostgreSQL's policies.

Taking either away turns these probes red, which proves that they look.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from tenants import scoping
from tenants.models import Client
from tenants.policies import IN_SCOPE, POLICY
from tenants.scoping import ClientOwned, ScopedManager, WrongClient, client_scope
from tests.isolation.rows import OWNED, canary, furnish

POSTGRESQL = "postgres" in settings.DATABASE_URL
needs_policies = pytest.mark.skipif(not POSTGRESQL, reason="SQLite has no row-level security")
by_label = pytest.mark.parametrize("model", OWNED, ids=lambda model: model._meta.label)


def sql(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


# --- the database alone: SQL by hand, past every manager ---------------------------------------------------------


def leaks_to_sql(model: type[ClientOwned], acme: Client, row: ClientOwned) -> list[str]:
    """What a stranger in scope reaches of Acme's rows with SQL of its own choice."""
    table, pk = f'"{model._meta.db_table}"', f'"{model._meta.pk.column}"'
    statements = {
        "read": f"SELECT * FROM {table} WHERE client_id = %s",
        "read all": f"SELECT * FROM {table} t WHERE t::text LIKE %s",
        "read by id": f"SELECT 1 FROM {table} WHERE {pk} = %s",
        "lock": f"SELECT 1 FROM {table} WHERE {pk} = %s FOR UPDATE",
        "update": f"UPDATE {table} SET client_id = client_id WHERE client_id = %s RETURNING 1",
        "steal": f"UPDATE {table} SET client_id = (SELECT tenancy.scope(false)) WHERE client_id = %s RETURNING 1",
        "delete": f"DELETE FROM {table} WHERE client_id = %s RETURNING 1",
    }
    values = {"read all": f"%{canary(acme)}%", "read by id": row.pk, "lock": row.pk}
    reached = []
    for name, statement in statements.items():
        try:
            with transaction.atomic():
                if sql(statement, values.get(name, acme.pk)):
                    reached.append(name)
                    raise Undo
        except (Undo, DatabaseError):  # an error has reached nothing; its words are probed in tests/tenants
            continue
    return reached


class Undo(Exception):
    """Roll back what a successful probe did."""


@needs_policies
def test_sql_by_hand_reaches_no_row_of_another_client(acme: Client, stranger: Client) -> None:
    rows = furnish(acme)
    furnish(stranger)
    with client_scope(stranger.pk):
        assert {m._meta.label: reached for m, row in rows.items() if (reached := leaks_to_sql(m, acme, row))} == {}
    assert {m._meta.label: reached for m, row in rows.items() if (reached := leaks_to_sql(m, acme, row))} == {}


@needs_policies
def test_sql_by_hand_writes_no_row_for_another_client(acme: Client, stranger: Client) -> None:
    rows = furnish(stranger)
    with client_scope(stranger.pk):
        for model in rows:
            columns = ", ".join(
                f'"{f.column}"' for f in model._meta.concrete_fields if not f.primary_key and f.column != "client_id"
            )
            table = f'"{model._meta.db_table}"'
            copy = f"INSERT INTO {table} (client_id, {columns}) SELECT %s, {columns} FROM {table}"
            move = f"UPDATE {table} SET client_id = %s"
            for statement in (copy, move):
                with (
                    pytest.raises(DatabaseError, match=r"violates row-level security|are never changed"),
                    transaction.atomic(),
                ):
                    sql(statement, acme.pk)
                    raise Undo


@needs_policies
@pytest.mark.django_db(transaction=True)
def test_without_its_policy_each_table_leaks(acme: Client, stranger: Client) -> None:
    """The mutation: every policy in turn, first dropped, then replaced by one that is always true."""
    rows = furnish(acme)
    for model, row in rows.items():
        for mutation in ("dropped", "true"):
            with changed_policy(model, mutation), client_scope(stranger.pk):
                reached = leaks_to_sql(model, acme, row)
            assert {"read", "read by id", "lock"} <= set(reached), (model, mutation, reached)
        with client_scope(stranger.pk):
            assert leaks_to_sql(model, acme, row) == []


@contextmanager
def changed_policy(model: type[ClientOwned], mutation: str) -> Iterator[None]:
    """Break a table's protection for a while, as its owner."""
    table = f'"{model._meta.db_table}"'
    breaking = {
        "dropped": f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        "true": f"ALTER POLICY {POLICY} ON {table} USING (true) WITH CHECK (true)",
    }
    mending = (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
        f"ALTER POLICY {POLICY} ON {table} USING ({IN_SCOPE}) WITH CHECK ({IN_SCOPE})"
    )
    with owner_connection() as owner:
        owner.execute(breaking[mutation])
        try:
            yield
        finally:
            owner.execute(mending)


@contextmanager
def owner_connection() -> Iterator[psycopg.Connection[Any]]:
    database = connection.settings_dict["NAME"]
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], dbname=database, autocommit=True) as owner:
        yield owner


# --- the managers alone: the policies are off, as on SQLite ------------------------------------------------------


@pytest.fixture
def no_policies(transactional_db: None) -> Iterator[None]:
    if not POSTGRESQL:
        yield
        return
    tables = [f'ALTER TABLE "{model._meta.db_table}" {{}} ROW LEVEL SECURITY;' for model in OWNED]
    with owner_connection() as owner:
        owner.execute("".join(tables).replace("{}", "DISABLE"))
        try:
            yield
        finally:
            owner.execute("".join(tables).replace("{}", "ENABLE"))


def leaks_to_orm(acme: Client, stranger: Client, rows: Any) -> set[str]:
    """What a stranger in scope reaches of Acme's rows through the models."""
    reached = set()
    for model, row in rows.items():
        probes = {
            "read": lambda m=model: m.objects.filter(client_id=acme.pk).exists(),
            "read by id": lambda m=model, r=row: m._base_manager.filter(pk=r.pk).count(),
            "delete": lambda m=model, r=row: m.objects.filter(pk=r.pk).delete()[0],
            "write": lambda m=model, r=row: _written(r),
        }
        for name, probe in probes.items():
            try:
                with transaction.atomic(), client_scope(stranger.pk):
                    if probe():
                        reached.add(name)
                    raise Undo
            except (Undo, WrongClient, RuntimeError, DatabaseError):
                continue
    return reached


def _written(row: ClientOwned) -> bool:
    row.save()
    return True


def leaks_without_scope(acme: Client, rows: Any) -> set[str]:
    reached = set()
    for model in rows:
        for name, probe in {
            "read": lambda m=model: len(m.objects.all()),
            "exists": lambda m=model: m.objects.exists(),
        }.items():
            try:
                if probe():
                    reached.add(name)
            except scoping.NoClientInScope:
                continue
    return reached


@pytest.mark.usefixtures("no_policies")
def test_the_managers_hold_alone(acme: Client, stranger: Client) -> None:
    rows = furnish(acme)
    assert leaks_to_orm(acme, stranger, rows) == set()
    assert leaks_without_scope(acme, rows) == set()


@pytest.mark.usefixtures("no_policies")
def test_without_the_scopes_condition_the_managers_leak(
    acme: Client, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = furnish(acme)
    with monkeypatch.context() as mutated:
        mutated.setattr(scoping.InScope, "as_sql", lambda self, compiler, connection, **extra: ("1=1", []))
        assert {"read", "read by id", "delete"} <= leaks_to_orm(acme, stranger, rows)
    with monkeypatch.context() as mutated:
        mutated.setattr(ScopedManager, "get_queryset", super(ScopedManager, ScopedManager).get_queryset)
        assert {"read", "read by id", "delete"} <= leaks_to_orm(acme, stranger, rows)
        assert leaks_without_scope(acme, rows) == {"read", "exists"}
    with monkeypatch.context() as mutated:
        mutated.setattr(scoping, "_refuse_other", lambda model, client_id: None)
        mutated.setattr(scoping.InScope, "as_sql", lambda self, compiler, connection, **extra: ("1=1", []))
        assert "write" in leaks_to_orm(acme, stranger, rows)
    assert leaks_to_orm(acme, stranger, rows) == set()


@pytest.mark.usefixtures("no_policies")
def test_without_the_check_of_references_a_row_may_hang_on_a_strangers(
    acme: Client, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chat.models import Message, Session

    session = furnish(acme)[Session]

    def hang() -> None:
        with client_scope(stranger.pk):
            Message.objects.create(session=session, trace_id=session.session_id, role="visitor")

    with pytest.raises(WrongClient):
        hang()
    monkeypatch.setattr(scoping, "check_references", lambda rows: None)
    if POSTGRESQL:  # the composite foreign key is there still
        with pytest.raises(DatabaseError, match="session_id_client_fk"):
            hang()
    else:
        hang()
