"""What an operator does on PostgreSQL: `migrate` as the owner, everything else as the application role."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.conftest import as_owner
from tests.services import with_role

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif("postgres" not in settings.DATABASE_URL, reason="PostgreSQL's part")


@pytest.fixture
def database(db: None) -> Iterator[dict[str, str]]:
    """An empty database, its owner (who may make roles but is no superuser) and an application role to be made."""
    name = f"trial_{uuid.uuid4().hex[:8]}"
    owner, application = f"{name}_owner", f"{name}_app"
    with administrator() as superuser:
        superuser.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'x'")
        superuser.execute(f"CREATE DATABASE {name} OWNER {owner}")
    base = os.environ["DATABASE_OWNER_URL"].rpartition("/")[0] + f"/{name}"
    yield {"owner": with_role(base, owner, "x"), "application": with_role(base, application, "y")}
    with administrator() as superuser:
        superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
        for role in (application, owner):
            superuser.execute(f"DROP ROLE IF EXISTS {role}")


def administrator() -> Any:
    with as_owner():
        parameters = connection.get_connection_params()
    wanted = {key: value for key, value in parameters.items() if key in ("host", "port", "user", "password")}
    return psycopg.connect(**wanted, dbname="postgres", autocommit=True)


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    result = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.mark.django_db(transaction=True)
def test_migrate_with_the_owners_url_makes_the_role_and_its_bounds(database: dict[str, str]) -> None:
    urls = {"DATABASE_URL": database["application"], "DATABASE_OWNER_URL": database["owner"]}
    manage("migrate", "-v0", **urls)
    assert "pk_live_" in manage("create_client", "--name", "Acme", "--json", **urls).stdout
    manage("check", "--database", "default", "--fail-level", "WARNING", **urls)
    manage("migrate", "-v0", DATABASE_URL=database["application"], DATABASE_OWNER_URL="")  # nothing to do

    with psycopg.connect(database["application"], autocommit=True) as application:
        assert application.execute("SELECT count(*) FROM tenants_apikey").fetchone() == (0,)
        assert application.execute("SELECT count(*) FROM tenants_client").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("SELECT * FROM tenancy.keys")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("ALTER TABLE tenants_apikey DISABLE ROW LEVEL SECURITY")
    with psycopg.connect(database["owner"], autocommit=True) as owner:  # FORCE: not even the owner, by accident
        assert owner.execute("SELECT count(*) FROM tenants_apikey").fetchone() == (0,)


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_one_url_alone_works_and_its_owner_is_bound_too(database: dict[str, str]) -> None:
    one = {"DATABASE_URL": database["owner"], "DATABASE_OWNER_URL": ""}
    manage("migrate", "-v0", **one)
    manage("create_client", "--name", "Acme", **one)
    assert "Acme" in manage("list_clients", **one).stdout
    with psycopg.connect(database["owner"], autocommit=True) as owner:
        assert owner.execute("SELECT count(*) FROM tenants_apikey").fetchone() == (0,)
