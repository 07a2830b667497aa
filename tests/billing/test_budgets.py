"""Concurrent requests can't spend more than the month's budget."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from billing import budgets, ledger
from billing.ledger import Tokens
from billing.limits import admit
from billing.models import Budget, MonthSpend, UsageRecord
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope

PRICES = {"input": "10", "output": "50"}
COST = Decimal("0.02")  # of 1,000 tokens in, 200 out
HOLD = Decimal("0.05")


@pytest.fixture
def thrifty(acme: Client) -> Client:
    """A dollar a month."""
    with client_scope(acme.pk):
        Budget.objects.create(monthly=Decimal("1.00"))
    return acme


def ask(client: Client, outcome: str) -> bool:
    request_id = uuid.uuid4().hex
    try:
        admission = async_to_sync(admit)(client)
        with client_scope(client.pk):
            ledger.reserve(request_id, client, admission, hold=HOLD)
        with client_scope(client.pk):
            if outcome == "answered":
                ledger.record(request_id=request_id, usage=Tokens("m", 1000, 200), prices=PRICES)
            elif outcome == "failed":
                ledger.release(request_id, error=True)
    except ApiError as error:
        assert (error.code, error.status) == ("QUOTA_EXCEEDED", 402)
        return False
    finally:
        if not connection.in_atomic_block:
            connection.close()
    return True


@pytest.mark.django_db(transaction=True)
def test_no_more_is_spent_than_the_budget(thrifty: Client, stranger: Client) -> None:
    outcomes = ["answered", "answered", "failed", "answered"] * 25
    with ThreadPoolExecutor(8) as pool:
        served = sum(pool.map(lambda outcome: ask(thrifty, outcome), outcomes))
        assert all(pool.map(lambda outcome: ask(stranger, outcome), outcomes[:8]))
    with client_scope(thrifty.pk):
        spend = MonthSpend.objects.get()
        booked = sum(UsageRecord.objects.values_list("cost", flat=True))
    assert (spend.spent, spend.held) == (booked, 0)
    assert Decimal("0.95") < booked <= Decimal("1.00")  # the last request needed room for what it might cost
    assert served < len(outcomes)


@pytest.mark.django_db
def test_what_is_under_way_is_held(thrifty: Client) -> None:
    assert [ask(thrifty, "running") for _ in range(21)] == [True] * 20 + [False]


@pytest.mark.django_db
def test_a_young_budget_knows_what_the_month_has_cost(acme: Client) -> None:
    at = datetime.now(UTC)
    with client_scope(acme.pk):
        ledger.record(request_id="before", usage=Tokens("m", 1000, 200), prices=PRICES, at=at)
        Budget.objects.create(monthly=COST + HOLD)
    budgets.forget()
    assert ask(acme, "answered")
    assert not ask(acme, "answered")


@pytest.mark.django_db
def test_an_embedding_that_is_told_twice_is_spent_once(thrifty: Client) -> None:
    ask(thrifty, "answered")
    with client_scope(thrifty.pk):
        told = [
            ledger.record(request_id="e", usage=Tokens("e", 1000), prices=PRICES, kind="embedding") for _ in range(2)
        ]
        assert told == [True, False]
        assert UsageRecord.objects.filter(request_id="e").count() == 1
        assert MonthSpend.objects.get().spent == COST + Decimal("0.01")
