"""What `manage.py migrate` sets up on PostgreSQL beside the tables: policies, composite keys and grants.

Everything follows from the models, after every `migrate`, so a new client-owned table is protected by being
one. `migrate` connects with DATABASE_OWNER_URL and makes the role of DATABASE_URL, which owns nothing and
gets no more than the rows; the web and worker processes connect with DATABASE_URL. Where there is only
DATABASE_URL, its role owns the tables and the policies bind it too, unless it is a superuser.
"""

import secrets
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import environ
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, transaction
from psycopg import sql

from tenants.row_security import pads, process_key
from tenants.scoping import ClientOwned

POLICY = "own_client_only"
# Each half can be looked up in an index. A scope is checked when there is a row, and in a client's scope once: the row
# is the client's, so the other half is not asked. (`>=` has the planner expect a third of the table there. Expecting
# less, as of a range with two ends, it would collect and sort all rows of a client that an index has in order.)
IN_SCOPE = "client_id = (SELECT tenancy.scope(false)) OR client_id >= (SELECT tenancy.scope(true))"
# For rows that may be about no client: those are seen and written in the scope of everyone only.
IN_SCOPE_OR_NOBODYS = f"{IN_SCOPE} OR client_id IS NULL AND (SELECT tenancy.scope(true)) IS NOT NULL"
COMMENT = "COMMENT ON POLICY {policy} ON {table} IS {text}"
LOCK = 7_203_114_886  # any constant: two processes that migrate at once take turns


def client_owned_models() -> list[type[ClientOwned]]:
    return [model for model in apps.get_models() if issubclass(model, ClientOwned)]


def protected_models() -> list[type[models.Model]]:
    """Every model with a `client_id`: the client-owned ones, and those whose rows may be about a client.

    The clients themselves are not among them: a row of `Client` is looked up by its id or with a key that proves
    it, before there is a scope, and holds settings, no content.
    """
    return [model for model in apps.get_models() if any(f.column == "client_id" for f in model._meta.local_fields)]


def condition_of(model: type[models.Model]) -> str:
    """The policy's condition on a row."""
    return IN_SCOPE if issubclass(model, ClientOwned) else IN_SCOPE_OR_NOBODYS


def install(using: str) -> None:
    """Bring policies, keys and grants into line with the models; harmless when repeated."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(using), connection.cursor() as cursor:
        if not _owns_tables(cursor):
            _demand_protection(using)
            return
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute(files("tenants").joinpath("row_security.sql").read_text("utf-8"))
        _store_keys(cursor)
        existing = set(connection.introspection.table_names(cursor))
        for model in protected_models():
            if model._meta.db_table in existing:
                _protect(cursor, model._meta.db_table, condition_of(model))
                _add_composite_keys(cursor, model, existing)
        _grant(cursor, existing)
    for model in protected_models():
        with transaction.atomic(using), connection.cursor() as cursor:
            _renew(cursor, model._meta.db_table, condition_of(model))
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION IF EXISTS tenancy.bound(boolean)")  # which policies asked before


def unprotected_tables(using: str) -> list[str]:
    """Tables with a client, without the policy or without FORCE; empty is good."""
    tables = [model._meta.db_table for model in protected_models()]
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid AND p.polname = %s"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relrowsecurity AND c.relforcerowsecurity",
            [POLICY],
        )
        protected = {name for (name,) in cursor.fetchall()}
    return [table for table in tables if table not in protected]


def _owns_tables(cursor: Any) -> bool:
    cursor.execute("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('tenants_client')")
    return cursor.fetchone() in ((True,), None)


def _demand_protection(using: str) -> None:
    """A `migrate` as the application role had nothing to do; then there must be nothing left to do here either."""
    if missing := unprotected_tables(using):
        raise ImproperlyConfigured(f"Run migrate with DATABASE_OWNER_URL: unprotected are {', '.join(missing)}.")


def _store_keys(cursor: Any) -> None:
    """SECRET_KEY's key and its fallbacks', and the database's own."""
    cursor.execute("DELETE FROM tenancy.keys WHERE purpose = 'process'")
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        cursor.execute("INSERT INTO tenancy.keys VALUES ('process', %s, %s)", pads(process_key(secret)))
    cursor.execute(
        "INSERT INTO tenancy.keys SELECT 'ticket', %s, %s"
        " WHERE NOT EXISTS (SELECT FROM tenancy.keys WHERE purpose = 'ticket')",
        pads(secrets.token_bytes(32)),
    )


def _protect(cursor: Any, table: str, condition: str) -> None:
    """The policy, for the owner too. Looked up first: ALTER TABLE would wait for every running query."""
    cursor.execute("SELECT 1 FROM pg_policy WHERE polrelid = %s::regclass AND polname = %s", [_quoted(table), POLICY])
    if cursor.fetchone() is None:
        for statement in (
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            "CREATE POLICY {policy} ON {table} USING ({condition}) WITH CHECK ({condition})",
            COMMENT,
        ):
            _on_table(cursor, statement, table, condition)


def _renew(cursor: Any, table: str, condition: str) -> None:
    """Give a policy of an earlier release its present condition; its comment says which one it has.

    In a transaction for each table: who holds several of them and waits for another would wait for ever.
    """
    cursor.execute(
        "SELECT obj_description(oid, 'pg_policy') FROM pg_policy WHERE polrelid = to_regclass(%s) AND polname = %s",
        [_quoted(table), POLICY],
    )
    if cursor.fetchone() not in ((condition,), None):
        changed = "ALTER POLICY {policy} ON {table} USING ({condition}) WITH CHECK ({condition})"
        for statement in (changed, COMMENT):
            _on_table(cursor, statement, table, condition)


def _on_table(cursor: Any, statement: str, table: str, condition: str) -> None:
    names = {"table": sql.Identifier(table), "policy": sql.Identifier(POLICY)}
    written = {"condition": sql.SQL(condition), "text": sql.Literal(condition)}
    cursor.execute(sql.SQL(statement).format(**names, **written))


def _add_composite_keys(cursor: Any, model: type[models.Model], existing: set[str]) -> None:
    """A foreign key between client-owned rows includes the client, so that it can't lead to another's row.

    It replaces Django's own one: which of two constraints fails first would tell whether a row exists.
    """
    for field in model._meta.concrete_fields:
        target: Any = field.related_model
        if not isinstance(field, models.ForeignKey) or not issubclass(target, ClientOwned):
            continue
        if target._meta.db_table not in existing:
            continue
        key = f"{target._meta.db_table}_client_key"[-63:]
        columns = ["client_id", target._meta.pk.column]
        _add_constraint(cursor, target._meta.db_table, key, sql.SQL("UNIQUE ({})").format(_columns(columns)))
        body = sql.SQL("FOREIGN KEY ({}) REFERENCES {} ({}) DEFERRABLE INITIALLY DEFERRED").format(
            _columns(["client_id", field.column]), sql.Identifier(target._meta.db_table), _columns(columns)
        )
        if _add_constraint(
            cursor, model._meta.db_table, f"{model._meta.db_table}_{field.column}_client_fk"[-63:], body
        ):
            _drop_plain_foreign_key(cursor, model._meta.db_table, field.column)


def _add_constraint(cursor: Any, table: str, name: str, body: sql.Composable) -> bool:
    """Add it unless it is there; True if it was added."""
    cursor.execute("SELECT 1 FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s", [_quoted(table), name])
    if cursor.fetchone() is not None:
        return False
    statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}")
    cursor.execute(statement.format(sql.Identifier(table), sql.Identifier(name), body))
    return True


def _drop_plain_foreign_key(cursor: Any, table: str, column: str) -> None:
    cursor.execute(
        "SELECT c.conname FROM pg_constraint c"
        " JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]"
        " WHERE c.contype = 'f' AND c.conrelid = %s::regclass AND a.attname = %s",
        [_quoted(table), column],
    )
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(table), sql.Identifier(name)))


def _grant(cursor: Any, existing: set[str]) -> None:
    """Let the application role work on rows, and on nothing else."""
    role = _application_role(cursor)
    if role is None:
        return
    name, public = sql.Identifier(role), sql.SQL("PUBLIC")
    cursor.execute("SELECT current_database()")
    database = sql.Identifier(cursor.fetchone()[0])
    for statement in (
        "REVOKE TEMPORARY ON DATABASE {database} FROM {public}",
        "REVOKE CREATE ON SCHEMA public FROM {public}",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "GRANT USAGE ON SCHEMA public, tenancy TO {role}",
        "GRANT EXECUTE ON FUNCTION tenancy.enter, tenancy.scope TO {role}",
    ):
        cursor.execute(sql.SQL(statement).format(database=database, public=public, role=name))
    if "django_migrations" in existing:
        cursor.execute(sql.SQL("GRANT SELECT ON django_migrations TO {}").format(name))
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy and model._meta.db_table in existing:
            _grant_rows(cursor, model, name)


def _grant_rows(cursor: Any, model: type[models.Model], role: sql.Identifier) -> None:
    """No TRUNCATE, which no policy stops; no choice of a counted id, whose collision would tell of another's row."""
    fields = list(model._meta.local_concrete_fields)
    if issubclass(model, ClientOwned):
        fields = [field for field in fields if not isinstance(field, models.AutoField)]
    statement = sql.SQL("GRANT SELECT, DELETE, INSERT ({columns}), UPDATE ({columns}) ON {table} TO {role}")
    columns = _columns([field.column for field in fields])
    cursor.execute(statement.format(columns=columns, table=sql.Identifier(model._meta.db_table), role=role))


def _application_role(cursor: Any) -> str | None:
    """The role of DATABASE_URL, made if it is missing; None when it is the one that migrates."""
    address = environ.Env.db_url_config(settings.DATABASE_URL)
    cursor.execute("SELECT current_user")
    if address.get("USER") in ("", None, cursor.fetchone()[0]):
        return None
    role, password = address["USER"], address.get("PASSWORD") or None
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    if cursor.fetchone() is None:
        statement = sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD {}")
        cursor.execute(statement.format(sql.Identifier(role), sql.Literal(password)))
    return role


def _columns(names: Iterable[Any]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _quoted(table: str) -> str:
    return '"' + table.replace('"', '""') + '"'
