"""What the application role can do with SQL of its own choice, past every manager: nothing across clients."""

import hmac
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from chat.models import Session
from tenants import policies, row_security
from tenants.models import AuditEvent, Client, StaffMember
from tenants.scoping import client_scope, unscoped
from tests.conftest import as_owner

pytestmark = [
    pytest.mark.skipif("postgres" not in settings.DATABASE_URL, reason="SQLite has no row-level security"),
    pytest.mark.usefixtures("acme_key", "stranger_key"),
]
Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def sql(db: None) -> Sql:
    def run(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    return run


def owners(sql: Sql) -> list[uuid.UUID]:
    return sorted(client_id for (client_id,) in sql("SELECT client_id FROM tenants_apikey"))


def refused(do: Callable[[], Any]) -> str:
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        do()
    return str(caught.value).splitlines()[0]


def test_the_product_is_tested_as_a_role_that_owns_nothing(sql: Sql) -> None:
    assert sql(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    ) == [(False, False, False, False)]
    assert sql("SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = current_user") == []


def test_every_table_with_a_client_is_protected(sql: Sql) -> None:
    assert policies.unprotected_tables("default") == []
    tables = sql(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'client_id'"
        " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
    )
    assert {name for (name,) in tables} == {model._meta.db_table for model in policies.protected_models()}


def test_staff_and_audit_follow_the_scope_and_what_is_no_clients_is_everyones(
    sql: Sql, acme: Client, stranger: Client, django_user_model: Any
) -> None:
    clients = {"ann": acme.pk, "bob": stranger.pk, "sue": None}
    with unscoped("the test hires"):
        for name, client_id in clients.items():
            user = django_user_model.objects.create_user(name)
            StaffMember.objects.create(user=user, role="client" if client_id else "support", client_id=client_id)
            AuditEvent.objects.create(actor=name, action="view", client_id=client_id)

    def seen() -> list[tuple[list[str], list[str]]]:
        return sql(
            "SELECT (SELECT array_agg(username ORDER BY username) FROM tenants_staffmember s"
            " JOIN auth_user u ON u.id = s.user_id),"
            " (SELECT array_agg(actor::text ORDER BY actor) FROM tenants_auditevent)"
        )

    assert seen() == [(None, None)]
    with client_scope(acme.pk):
        assert seen() == [(["ann"], ["ann"])]
        for client_id in (stranger.pk, None):
            denied = 'new row violates row-level security policy for table "tenants_auditevent"'
            assert refused(lambda c=client_id: AuditEvent.objects.create(actor="x", action="x", client_id=c)) == denied
        assert sql("UPDATE tenants_staffmember SET role = role WHERE client_id IS NULL RETURNING 1") == []
    with unscoped("the test looks at all"):
        assert seen() == [(["ann", "bob", "sue"], ["ann", "bob", "sue"])]
    assert "row-level security" in refused(lambda: AuditEvent.objects.create(actor="x", action="x"))


def test_rows_follow_the_scope_and_end_with_it(sql: Sql, acme: Client, stranger: Client) -> None:
    assert owners(sql) == []
    with client_scope(acme.pk):
        assert owners(sql) == [acme.pk]
        with client_scope(acme.pk):
            assert owners(sql) == [acme.pk]
        with unscoped("the test looks at both"):
            assert owners(sql) == sorted([acme.pk, stranger.pk])
            with client_scope(stranger.pk):
                assert owners(sql) == [stranger.pk]
            assert owners(sql) == sorted([acme.pk, stranger.pk])
        assert owners(sql) == [acme.pk]
    assert owners(sql) == []


def test_a_rolled_back_scope_gives_way_to_the_one_around_it(sql: Sql, acme: Client) -> None:
    with client_scope(acme.pk):
        with pytest.raises(DatabaseError), unscoped("the statement fails"):
            sql("SELECT 1/0")
        assert owners(sql) == [acme.pk]
        with pytest.raises(LookupError), unscoped("the body fails"):
            raise LookupError
        assert owners(sql) == [acme.pk]


@pytest.mark.django_db(transaction=True)
def test_a_connection_carries_nothing_into_its_next_transaction(sql: Sql, acme: Client, stranger: Client) -> None:
    with client_scope(acme.pk):
        [(left_over,)] = sql("SELECT current_setting('tenancy.scope')")
    assert left_over.startswith(str(acme.pk))
    assert owners(sql) == []
    with transaction.atomic():
        sql("SELECT set_config('tenancy.scope', %s, true)", left_over)
        assert owners(sql) == []
    sql("SELECT set_config('tenancy.scope', %s, false)", left_over)
    assert owners(sql) == []
    with client_scope(stranger.pk):
        assert owners(sql) == [stranger.pk]
    assert owners(sql) == []


@pytest.fixture(params=["no scope", "in scope"])
def acting(request: Any, acme: Client, acme_key: str, stranger_key: str) -> Iterator[None]:
    """Each probe is made with no client in scope and with Acme in scope; the aim is always the stranger."""
    if request.param == "no scope":
        yield
    else:
        with client_scope(acme.pk):
            yield


@pytest.mark.usefixtures("acting")
def test_a_forged_scope_shows_nothing_of_the_stranger(sql: Sql, stranger: Client) -> None:
    with transaction.atomic():
        for forged in (
            str(stranger.pk),
            f"{stranger.pk} ",
            f"{stranger.pk} {'0' * 64}",
            "*",
            "* ",
            f"* {'f' * 64}",
            "",
            " ",
        ):
            sql("SELECT set_config('tenancy.scope', %s, true)", forged)
            assert owners(sql) == []


@pytest.mark.usefixtures("acting")
def test_a_scope_is_not_entered_without_the_process_key(sql: Sql, stranger: Client) -> None:
    now = int(time.time())
    for scope in (str(stranger.pk), "*"):
        for issued, signature in (
            (now, b""),
            (now, b"\0" * 32),
            (now - 7200, signed(scope, now - 7200)),
            (now + 1, signed(scope, now)),
        ):
            message = refused(lambda s=scope, i=issued, g=signature: sql("SELECT tenancy.enter(%s, %s, %s)", s, i, g))
            assert message == "the scope is not signed with a key that this database knows"
    assert stranger.pk not in owners(sql)


def signed(scope: str, issued: int) -> bytes:
    return hmac.digest(row_security.process_key(settings.SECRET_KEY), f"{scope}@{issued}".encode(), "sha256")


@pytest.mark.usefixtures("acting")
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM tenancy.keys",
        "COPY tenancy.keys TO STDOUT",
        "INSERT INTO tenancy.keys VALUES ('process', '', '')",
        "CREATE FUNCTION tenancy.scope2() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE public.mine (id int)",
        "CREATE TEMPORARY TABLE pg_temp_mine (id int)",
        "CREATE VIEW public.peek AS SELECT * FROM tenants_apikey",
        "CREATE MATERIALIZED VIEW public.peek AS SELECT * FROM tenants_apikey",
        "ALTER TABLE tenants_apikey DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tenants_apikey NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY own_client_only ON tenants_apikey",
        "CREATE POLICY all_rows ON tenants_apikey USING (true)",
        "TRUNCATE tenants_apikey",
        "LOCK TABLE tenants_apikey IN ACCESS EXCLUSIVE MODE; SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "SELECT last_value FROM tenants_apikey_id_seq",
        "SELECT nextval('tenants_apikey_id_seq')",
        "SELECT setval('tenants_apikey_id_seq', 1)",
        "SET row_security = off; SELECT * FROM tenants_apikey",
        "SELECT pg_read_file('PG_VERSION')",
        "INSERT INTO tenants_apikey (id) VALUES (1)",
        "UPDATE tenants_apikey SET id = 1",
    ],
)
def test_the_role_may_not(sql: Sql, statement: str) -> None:
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        sql(statement)
    assert caught.value.__cause__.sqlstate == psycopg.errors.InsufficientPrivilege.sqlstate


@pytest.mark.usefixtures("acting")
def test_every_way_of_reading_leaves_the_stranger_out(sql: Sql, stranger: Client) -> None:
    reads = [
        "SELECT client_id FROM tenants_apikey WHERE client_id = %(s)s",
        "SELECT client_id FROM tenants_apikey WHERE client_id = %(s)s OR true",
        "SELECT client_id FROM ONLY tenants_apikey FOR UPDATE",
        "SELECT k.client_id FROM tenants_client c JOIN tenants_apikey k ON k.client_id = c.id",
        "SELECT (SELECT client_id FROM tenants_apikey WHERE client_id = c.id) FROM tenants_client c",
        "WITH k AS MATERIALIZED (SELECT * FROM tenants_apikey) SELECT client_id FROM k",
        "TABLE tenants_apikey",
        "SELECT x FROM query_to_xml('SELECT client_id FROM tenants_apikey', true, true, '') x",
        "UPDATE tenants_apikey SET name = 'x' WHERE client_id = %(s)s RETURNING client_id",
        "DELETE FROM tenants_apikey WHERE client_id = %(s)s RETURNING client_id",
        "SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'tenants_apikey'",
    ]
    for read in reads:
        with connection.cursor() as cursor:
            cursor.execute(read, {"s": stranger.pk})
            assert str(stranger.pk) not in str(cursor.fetchall()), read


@pytest.mark.usefixtures("acting")
def test_an_error_tells_nothing_of_a_row_that_is_not_shown(sql: Sql, stranger: Client) -> None:
    """A policy's condition comes before any function that could complain aloud."""
    sql("SELECT 1 / (CASE WHEN client_id = %s THEN 0 ELSE 1 END) FROM tenants_apikey", stranger.pk)
    sql("SELECT hint::int FROM tenants_apikey WHERE client_id = %s", stranger.pk)


def test_a_row_is_not_written_for_the_stranger(sql: Sql, acme: Client, stranger: Client) -> None:
    columns = "(client_id, kind, name, digest, hint, scopes, created)"
    insert = f"INSERT INTO tenants_apikey {columns} VALUES (%s, 'secret', '', %s, '', '[]', now())"
    denied = 'new row violates row-level security policy for table "tenants_apikey"'
    assert refused(lambda: sql(insert, acme.pk, "x")) == denied  # no scope
    with client_scope(acme.pk):
        assert refused(lambda: sql(insert, stranger.pk, "y")) == denied
        assert refused(lambda: sql("UPDATE tenants_apikey SET client_id = %s", stranger.pk)) == denied


def test_a_foreign_key_into_the_strangers_rows_fails_as_one_into_nothing(
    sql: Sql, acme: Client, stranger: Client
) -> None:
    with client_scope(stranger.pk):
        theirs = Session.objects.create().pk
    insert = (
        "INSERT INTO chat_message (client_id, session_id, trace_id, role, text, created, outcome, sources, model,"
        " prompt_tokens, completion_tokens, cached, error_code, rating, comment, request_hash, person, event)"
        " VALUES (%s, %s, gen_random_uuid(), 'visitor', '', now(), '', '[]', '', 0, 0, false, '', '', '', '', '', '')"
    )
    told = []
    for session_id in (theirs, 10**12):
        with client_scope(acme.pk):
            with pytest.raises(DatabaseError) as caught, transaction.atomic():
                sql(insert, acme.pk, session_id)
                sql("SET CONSTRAINTS ALL IMMEDIATE")
            told.append(str(caught.value).replace(str(session_id), "#"))
    assert told[0] == told[1]
    assert "chat_message_session_id_client_fk" in told[0]


def test_a_query_without_a_condition_looks_the_client_up_in_an_index(sql: Sql, acme: Client) -> None:
    with client_scope(acme.pk):
        sql("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off")
        for table in (model._meta.db_table for model in policies.client_owned_models()):
            plan = "\n".join(line for (line,) in sql(f'EXPLAIN SELECT count(*) FROM "{table}"'))
            assert "Index Cond: (client_id = $0)" in plan and "Index Cond: (client_id >= $1)" in plan
            assert plan.count("InitPlan") == 2  # the scope is checked once a query, not once a row


def test_no_statement_of_another_session_shows_a_signature(sql: Sql, acme: Client) -> None:
    """Sessions of one role see one another's last statement."""
    with client_scope(acme.pk), psycopg.connect(**connection.get_connection_params()) as neighbour:
        shown = neighbour.execute("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall()
    assert ("SELECT tenancy.enter($1, $2, $3)",) in shown


@pytest.mark.django_db(transaction=True)
def test_migrating_again_changes_nothing(sql: Sql) -> None:
    def schema() -> list[tuple[Any, ...]]:
        return sql(
            "SELECT polrelid::regclass::text, oid FROM pg_policy"
            " UNION ALL SELECT conname, oid FROM pg_constraint ORDER BY 1, 2"
        )

    before = schema()
    with as_owner():
        policies.install("default")
    assert schema() == before


@pytest.mark.django_db(transaction=True)
def test_migrating_renews_the_policies_of_an_earlier_release(sql: Sql) -> None:
    def conditions() -> list[tuple[Any, ...]]:
        return sql(
            "SELECT polrelid::regclass::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid),"
            " obj_description(oid, 'pg_policy') FROM pg_policy ORDER BY 1"
        )

    def has_old_function() -> bool:
        return sql("SELECT to_regprocedure('tenancy.bound(boolean)') IS NOT NULL") == [(True,)]

    before = conditions()
    with as_owner():
        sql("CREATE FUNCTION tenancy.bound(boolean) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'")
        for table in (model._meta.db_table for model in policies.protected_models()):
            condition = "client_id >= (SELECT tenancy.bound(true)) AND client_id <= (SELECT tenancy.bound(false))"
            sql(f'ALTER POLICY own_client_only ON "{table}" USING ({condition}) WITH CHECK ({condition})')
            sql(f'COMMENT ON POLICY own_client_only ON "{table}" IS NULL')
        assert has_old_function() and not set(conditions()) & set(before)
        policies.install("default")
    assert conditions() == before
    assert not has_old_function()


def test_a_scope_is_checked_once_where_there_is_a_row(sql: Sql, acme: Client) -> None:
    """Its other question, whether the scope is everyone's, is not asked for a row that is the client's."""

    def checks(statement: str, *values: Any) -> int:
        plan = sql("EXPLAIN (ANALYZE, TIMING off, SUMMARY off) " + statement, *values)
        costly = [line for (line,) in plan if "Result  (cost=0.00..0.26" in line]  # a function of plpgsql costs 0.25
        return sum("never executed" not in line for line in costly)

    with client_scope(acme.pk):
        sql("SET LOCAL enable_bitmapscan = off")  # that looks for both
        assert checks("SELECT hint FROM tenants_apikey WHERE client_id = %s", acme.pk) == 1
        assert checks("UPDATE tenants_apikey SET name = 'x' WHERE client_id = %s", acme.pk) == 2  # before and after
        assert checks("SELECT hint FROM tenants_apikey WHERE client_id = %s AND id = 0", acme.pk) == 0
