"""Reports are read from a real streaming replica, where both barriers stand, and from the primary without one."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Model
from django.test import Client as Browser
from django.utils import timezone
from environ import Env
from pytest_django import Settings

from billing import usage
from billing.models import UsageHour
from chat.models import Message
from config.database import replica_of
from tenants import export, reports, statements
from tenants.models import ApiKey, Client
from tenants.scoping import NoClientInScope, OnlyReads, client_scope, unscoped
from tests.billing.test_usage import chat
from tests.config.desk import browser_of
from tests.config.figures import Figures, figures, gained
from tests.faults.proxy import proxy
from tests.faults.stage import postgres_address
from tests.isolation.rows import OWNED, furnish
from tests.replica import Replica, replica_of_tests

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no replicas")
ROOT = Path(__file__).resolve().parents[2]
both_databases = pytest.mark.django_db(transaction=True, databases=["default", "replica"])
SECRET = {"X-Internal-Secret": "tests-internal-secret-0123456789abcdef"}


@pytest.fixture(scope="module")
def running(django_db_setup: None, django_db_blocker: Any) -> Iterator[Replica]:
    directory = Path(tempfile.mkdtemp(prefix="support-chat-replica-"))
    directory.chmod(0o755)  # PostgreSQL may run as another user
    try:
        with (
            django_db_blocker.unblock(),
            replica_of_tests(directory / "replica") as replica,
            configured(replica.port),
        ):
            yield replica
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def configured(port: int, **options: Any) -> Iterator[None]:
    """DATABASE_REPLICA_URL leads to this port; `options` are those of DATABASES["default"] beside its own."""
    primary = connection.settings_dict
    before = connections.settings.get("replica")
    address = Env.db_url_config(f"postgres://127.0.0.1:{port}/{primary['NAME']}")
    address |= {"USER": primary["USER"], "PASSWORD": primary["PASSWORD"]}
    connections.settings["replica"] = replica_of({**primary, "OPTIONS": {**primary["OPTIONS"], **options}}, address)
    connections.configure_settings(connections.settings)  # Django's defaults
    _forget_connection()
    try:
        yield
    finally:
        _forget_connection()
        if before:
            connections.settings["replica"] = before
        else:
            del connections.settings["replica"]


def _forget_connection() -> None:
    connections["replica"].close()
    connections["replica"].close_pool()
    del connections["replica"]


@pytest.fixture
def replica(running: Replica, db: None) -> Replica:
    reports._circuit.resting_until = 0.0
    return running


def requests_of(client: Client) -> int:
    """As GET /api/usage tells it."""
    asked = {"clientId": str(client.pk), "granularity": "day"}
    return Browser().get("/api/usage", asked, headers=SECRET).json()["totals"]["requests"]


def now_of(client: Client) -> int:
    reply = Browser().get("/api/usage/current", {"clientId": str(client.pk)}, headers=SECRET)
    return reply.json()["month"]["requests"]


def dashboard_of(browser: Browser) -> str:
    """The answers in the row of all clients together."""
    return browser.get("/admin/").context["usage"]["total"][0]


def counted_since(before: Figures) -> dict[str, float]:
    """Reports by the database that they were read from."""
    return {key[1]: value for key, value in gained(before).items() if key[0] == "support_chat_reports_total"}


def keys() -> list[Any]:
    return list(ApiKey.objects.values_list("client_id", flat=True))


# --- where they are read ---------------------------------------------------------------------------------------------


@both_databases
def test_reports_are_as_old_as_the_replica_and_what_decides_is_not(
    replica: Replica, acme: Client, stranger: Client
) -> None:
    desk = browser_of("root", is_superuser=True)
    for client in (acme, stranger, stranger):
        chat(client, f"{client.name} {time.monotonic()}", timezone.now())
    with replica.paused():
        chat(acme, "later", timezone.now())
        with client_scope(acme.pk):
            usage.roll_up()
        before = figures()
        assert (requests_of(acme), requests_of(stranger), dashboard_of(desk)) == (1, 2, "0")
        assert (now_of(acme), now_of(stranger)) == (2, 2)
        assert counted_since(before) == {"replica": 4}
    replica.catch_up()
    assert (requests_of(acme), requests_of(stranger), dashboard_of(desk)) == (2, 2, "2")


@both_databases
def test_a_replica_that_is_too_far_behind_makes_no_report(replica: Replica, settings: Settings, acme: Client) -> None:
    settings.DATABASE_REPLICA_SECONDS = 0.0
    replica.catch_up()
    before = figures()
    assert requests_of(acme) == 0  # nothing has happened since: old, and up to date
    assert counted_since(before) == {"replica": 1}
    with replica.paused(), structlog.testing.capture_logs() as lines:
        chat(acme, "later", timezone.now())
        assert (requests_of(acme), requests_of(acme)) == (1, 1)
    assert told(lines) == [("reports go on without the replica", "Behind")]
    assert counted_since(before) == {"replica": 1, "primary": 2}


@both_databases
def test_a_server_that_follows_nobody_is_no_replica(replica: Replica, acme: Client) -> None:
    chat(acme, "now", timezone.now())
    with (
        proxy(postgres_address()) as primary,
        configured(primary.port),
        structlog.testing.capture_logs() as lines,
    ):
        assert requests_of(acme) == 1
        assert "tenants.W003" in checked()
    assert told(lines) == [("reports go on without the replica", "Behind")]


@both_databases
def test_an_export_holds_all_that_there_was_when_it_began(replica: Replica, acme: Client, stranger: Client) -> None:
    furnish(acme)
    furnish(stranger)
    replica.catch_up()
    before = figures()
    exported = json.loads("".join(export.pieces(acme)))["rows"]
    assert all(exported.values())
    assert set(counted_since(before)) == {"replica"}
    with replica.paused():
        furnish(acme, [Message])
        assert len(json.loads("".join(export.pieces(acme)))["rows"]["message"]) == 2


# --- whose rows ------------------------------------------------------------------------------------------------------


def ask_replica(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with connections["replica"].cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def counted(model: type[Model]) -> tuple[int, int]:
    """(what the manager finds, what SQL by hand finds) on the replica."""
    [(by_hand,)] = ask_replica(f'SELECT count(*) FROM "{model._meta.db_table}"')
    return model._default_manager.count(), by_hand


@both_databases
def test_both_barriers_stand_on_the_replica(replica: Replica, acme: Client, stranger: Client) -> None:
    furnish(acme)
    replica.catch_up()
    for model in OWNED:
        with client_scope(stranger.pk):
            theirs = model._default_manager.count()  # some come into being with a client
            assert reports.read(counted, model) == (theirs, theirs), model
        with client_scope(acme.pk):
            ours = model._default_manager.count()
            assert ours and reports.read(counted, model) == (ours, ours), model
        with unscoped("the test looks at all"):
            assert reports.read(counted, model) == (ours + theirs, ours + theirs), model
        assert ask_replica(f'SELECT * FROM "{model._meta.db_table}"') == []


@both_databases
def test_nothing_of_a_scope_is_left_over_or_can_be_forged(replica: Replica, acme: Client, stranger: Client) -> None:
    furnish(acme, [ApiKey])
    replica.catch_up()

    def left_over() -> str:
        return ask_replica("SELECT current_setting('tenancy.scope')")[0][0]

    with client_scope(acme.pk):
        assert reports.read(keys) == [acme.pk]
        scope = reports.read(left_over)
        assert ask_replica("SELECT 1 FROM tenants_apikey") == []
        with pytest.raises(NoClientInScope, match="not entered in the database replica"):
            list(ApiKey.objects.using("replica"))
    for forged in (scope, str(acme.pk), "*"):
        with transaction.atomic("replica"):
            ask_replica("SELECT set_config('tenancy.scope', %s, true)", forged)
            assert ask_replica("SELECT 1 FROM tenants_apikey") == []
    with pytest.raises(NoClientInScope):
        reports.read(keys)
    with pytest.raises(NoClientInScope):
        list(ApiKey.objects.using("replica"))
    with pytest.raises(DatabaseError, match="not signed"):
        ask_replica("SELECT tenancy.enter(%s, 0, ''::bytea)", str(acme.pk))


# --- only reads ------------------------------------------------------------------------------------------------------

WRITES: dict[str, Callable[[ApiKey], Any]] = {
    "create": lambda key: ApiKey.objects.create(kind="secret", digest="new"),
    "save": lambda key: key.save(),
    "delete of an instance": lambda key: key.delete(),
    "update": lambda key: ApiKey.objects.update(name="changed"),
    "delete": lambda key: ApiKey.objects.all().delete(),
    "bulk_create": lambda key: ApiKey.objects.bulk_create([ApiKey(kind="secret", digest="new")]),
    "of nobody's row": lambda key: Client.objects.create(name="new"),
    "lock": lambda key: list(ApiKey.objects.select_for_update()),
    "statement": lambda key: statements.update(ApiKey, {"name": "changed"}),
    "the same scope": lambda key: client_scope(key.client_id).__enter__(),
    "everyone": lambda key: unscoped("the report wants more").__enter__(),
}


def refused_writes(key: ApiKey, *without: str) -> None:
    with client_scope(key.client_id):
        for name, write in WRITES.items():
            if name not in without:
                with pytest.raises((OnlyReads, DatabaseError)) as refused, transaction.atomic():
                    reports.read(write, key)
                assert isinstance(refused.value, OnlyReads) or "read-only" in str(refused.value), name
        assert list(ApiKey.objects.values_list("name", flat=True)) == [key.name]


@both_databases
def test_a_report_on_the_replica_writes_nothing(replica: Replica, acme: Client) -> None:
    key: Any = furnish(acme, [ApiKey])[ApiKey]
    replica.catch_up()
    refused_writes(key)
    with pytest.raises(DatabaseError, match="read-only"):
        ask_replica("DELETE FROM tenants_client RETURNING id")


@pytest.mark.django_db
def test_a_report_without_a_replica_writes_nothing_either(acme: Client) -> None:
    refused_writes(furnish(acme, [ApiKey])[ApiKey], "lock")  # type: ignore[arg-type]


@both_databases
def test_a_row_out_of_a_report_is_changed_on_the_primary(replica: Replica, acme: Client) -> None:
    furnish(acme, [ApiKey])
    replica.catch_up()
    with client_scope(acme.pk):
        key = reports.read(ApiKey.objects.get)
        assert key._state.db == "replica"
        key.name, key.client = "changed", acme
        key.save()
        assert list(ApiKey.objects.values_list("name", flat=True)) == ["changed"]


def test_migrations_are_the_primarys() -> None:
    router = reports.Router()
    assert {router.allow_migrate("replica", app.label) for app in apps.get_app_configs()} == {False}
    assert {router.allow_migrate("default", app.label) for app in apps.get_app_configs()} == {True}


# --- without it ------------------------------------------------------------------------------------------------------


def told(lines: Any) -> list[tuple[str, str | None]]:
    return [(line["event"], line.get("error")) for line in lines if "replica" in line["event"]]


POOL = {"min_size": 1, "max_size": 2, "timeout": 4}  # as web processes have one


@both_databases
def test_a_dead_replica_costs_no_report_and_comes_back(replica: Replica, acme: Client, stranger: Client) -> None:
    desk = browser_of("root", is_superuser=True)
    chat(acme, "one", timezone.now())
    replica.catch_up()
    with configured(replica.port, pool=POOL), structlog.testing.capture_logs() as lines:
        assert requests_of(acme) == 1
        replica.stop()
        try:
            chat(acme, "two", timezone.now())
            furnish(stranger, [UsageHour])
            began = time.monotonic()
            assert (requests_of(acme), requests_of(stranger)) == (2, 0)
            assert desk.get("/admin/").status_code == 200
            assert Browser().get("/health").json()["services"]["database"] is True
            assert time.monotonic() - began < 8
        finally:
            replica.start()
        replica.catch_up()
        deadline = time.monotonic() + 20
        while ("reports go on with the replica again", None) not in told(lines):
            reports._circuit.resting_until = 0.1  # long ago
            assert requests_of(acme) == 2 and time.monotonic() < deadline
    assert [event for event, _ in told(lines)] == [
        "reports go on without the replica",
        "reports go on with the replica again",
    ]


@both_databases
def test_a_replica_that_says_nothing_costs_seconds_once(replica: Replica, acme: Client) -> None:
    chat(acme, "one", timezone.now())
    with proxy(("127.0.0.1", replica.port)) as between, configured(between.port):
        between.hang()
        began = time.monotonic()
        assert (requests_of(acme), requests_of(acme)) == (1, 1)
        assert time.monotonic() - began < 5
        between.cut()
        reports._circuit.resting_until = 0.0
        assert requests_of(acme) == 1


@both_databases
def test_a_report_that_the_replica_breaks_off_is_read_from_the_primary(replica: Replica, acme: Client) -> None:
    furnish(acme, [ApiKey])
    replica.catch_up()
    asked = []

    def report() -> list[Any]:
        asked.append(connections["replica"].connection.info.backend_pid if not asked else None)
        if asked == [asked[0]]:
            keys()
            replica.ask("SELECT pg_terminate_backend(%s, 5000)", asked[0])
        return keys()

    with client_scope(acme.pk):
        assert reports.read(report) == [acme.pk]
        assert len(asked) == 2


@both_databases
def test_what_takes_too_long_on_the_replica_is_not_tried_on_the_primary(replica: Replica, acme: Client) -> None:
    asked = []

    def report() -> None:
        asked.append(1)
        ask_replica("SELECT set_config('statement_timeout', '50', true)")
        ask_replica("SELECT pg_sleep(5)")

    replica.catch_up()
    with client_scope(acme.pk), pytest.raises(DatabaseError) as caught:
        reports.read(report)
    assert isinstance(caught.value.__cause__, psycopg.errors.QueryCanceled) and len(asked) == 1


@both_databases
def test_the_check_names_a_replica_that_is_away(replica: Replica, unused_port: int) -> None:
    assert "tenants.W" not in checked()
    with configured(unused_port):
        assert "tenants.W002" in checked()


def checked() -> str:
    errors = StringIO()
    call_command("check", databases=["replica"], stderr=errors, stdout=StringIO())
    return errors.getvalue()


# --- the setting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "replica", "reason"),
    [
        ("sqlite:///x", "postgres://app@there/app", "for PostgreSQL only"),
        ("postgres://app@here/app", "sqlite:///x", "for PostgreSQL only"),
        ("postgres://app@here/app", "postgres://owner@there/app", "role of DATABASE_URL"),
    ],
)
def test_the_setting_is_refused_where_it_makes_no_sense(url: str, replica: str, reason: str) -> None:
    primary = Env.db_url_config(url) | {"OPTIONS": {}}
    with pytest.raises(ImproperlyConfigured, match=reason):
        replica_of(primary, Env.db_url_config(replica))


def test_a_product_on_sqlite_says_so_at_its_start(tmp_path: Path) -> None:
    environment = {
        "ENV_FILE": str(tmp_path / ".env"),
        "DATA_DIR": str(tmp_path),
        "DATABASE_REPLICA_URL": "postgres://app@there/app",
    }
    started = [sys.executable, "manage.py", "check"]
    done = subprocess.run(started, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode and "DATABASE_REPLICA_URL is for PostgreSQL only" in done.stderr


# --- the end of the replica ------------------------------------------------------------------------------------------


@both_databases
def test_a_replica_that_was_promoted_is_none_any_more(replica: Replica, acme: Client) -> None:
    """The last test: it follows nobody from here on, though it has just replayed a commit."""
    chat(acme, "one", timezone.now())
    replica.catch_up()
    replica.ask("SELECT pg_promote()")
    chat(acme, "two", timezone.now())
    assert requests_of(acme) == 2
    assert "tenants.W003" in checked()
