"""Every model is either a client's or named here, and what makes it a client's holds for all of them."""

from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.checks import run_checks
from django.db import connection, models

from tenants.models import ApiKey, Client
from tenants.policies import unprotected_tables
from tenants.scoping import ClientOwned, ScopedManager
from tests.isolation.rows import OWNED

OURS = ("config", "tenants", "billing", "knowledge", "chat")

# Rows that are no client's. A new model that is not a ClientOwned needs a reason here.
NOBODYS = {
    "tenants.Client": "the clients themselves",
    "tenants.Erasure": "receipts outlive their client and hold no content",
    "tenants.StaffMember": "people of the desk, some of a client; a policy guards them",
    "tenants.AuditEvent": "what was done in the admin, some of it about a client; kept for good, and guarded likewise",
    "billing.Plan": "what a tier costs, the same for all",
    "billing.InvoiceNumber": "the counter of invoice numbers",
}

# Unique among all clients: a collision would tell that another client has the value. Each is unguessable or ours.
UNIQUE_AMONG_ALL = {
    "tenants.ApiKey.digest": "an HMAC of 190 random bits",
    "billing.Invoice.number": "given out by us; never comes from a caller",
    "billing.BillingEvent.identifier": "made of an invoice line's number; never comes from a caller",
}


def test_every_model_is_a_clients_or_nobodys() -> None:
    ours = [model for model in apps.get_models() if model._meta.app_label in OURS]
    assert {model._meta.label for model in ours if not issubclass(model, ClientOwned)} == set(NOBODYS)


@pytest.mark.parametrize("model", OWNED, ids=lambda model: model._meta.label)
def test_no_manager_forgets_the_client(model: type[ClientOwned]) -> None:
    for manager in (model._default_manager, model._base_manager, *model._meta.managers):
        assert isinstance(manager, ScopedManager)


def test_the_models_pass_the_checks_that_guard_them() -> None:
    assert [message for message in run_checks(tags=["models"]) if message.id.startswith("tenants.")] == []


def test_no_query_leads_from_a_client_to_its_rows() -> None:
    hidden = [relation for relation in Client._meta.get_fields(include_hidden=True) if relation.auto_created]
    assert all(relation.hidden for relation in hidden if not relation.concrete)
    assert len(hidden) >= len(OWNED)


@pytest.mark.parametrize("model", OWNED, ids=lambda model: model._meta.label)
def test_what_is_unique_is_unique_within_its_client(model: type[ClientOwned]) -> None:
    alone = [field.name for field in model._meta.concrete_fields if field.unique and not field.primary_key]
    unexplained = [name for name in alone if f"{model._meta.label}.{name}" not in UNIQUE_AMONG_ALL]
    assert all(_belongs_to_one_client(model, [name]) for name in unexplained), unexplained
    for constraint in model._meta.total_unique_constraints:
        assert _belongs_to_one_client(model, constraint.fields), constraint.name


def _belongs_to_one_client(model: type[models.Model], names: Any) -> bool:
    """With the client among the columns, or a row that the composite foreign key ties to the client."""
    targets = [model._meta.get_field(name).related_model for name in names]
    return Client in targets or any(target in OWNED for target in targets)


# Rows about the people of the desk, not of a client: read before a scope is known, and across clients.
OF_THE_DESK = {"tenants_auditevent", "tenants_staffmember"}


@pytest.mark.skipif("postgres" not in settings.DATABASE_URL, reason="PostgreSQL's part")
def test_every_table_has_its_policy(db: None) -> None:
    assert unprotected_tables("default") == []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns"
            " WHERE column_name = 'client_id' AND table_schema = 'public'"
        )
        found = {name for (name,) in cursor.fetchall()}
    assert found - OF_THE_DESK == {model._meta.db_table for model in OWNED}


@pytest.mark.skipif("postgres" not in settings.DATABASE_URL, reason="PostgreSQL's part")
@pytest.mark.parametrize("model", OWNED, ids=lambda model: model._meta.label)
def test_foreign_keys_between_clients_rows_include_the_client(db: None, model: type[ClientOwned]) -> None:
    expected = {
        (field.related_model._meta.db_table, field.column)
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey) and field.related_model in OWNED
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT confrelid::regclass::text, a.attname, cardinality(conkey) FROM pg_constraint"
            " JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[cardinality(conkey)]"
            " WHERE contype = 'f' AND conrelid = %s::regclass AND confrelid <> %s::regclass",
            [model._meta.db_table, Client._meta.db_table],
        )
        assert set(cursor.fetchall()) == {(table, column, 2) for table, column in expected}


@pytest.mark.skipif("postgres" not in settings.DATABASE_URL, reason="PostgreSQL's part")
def test_a_new_clients_table_gets_its_policy_by_itself(db: None) -> None:
    """What protects tables is the list of models, not a list in a migration."""
    assert ApiKey in OWNED and len(OWNED) == len(set(OWNED)) == len(
        [m for m in apps.get_models() if issubclass(m, ClientOwned)]
    )
