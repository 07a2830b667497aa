"""Concurrent requests can't spend more than the month's budget."""

import math
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
def test_what_was_spent_without_a_budget_counts_when_it_is_back(thrifty: Client, stranger: Client) -> None:
    """In one month: a budget, none for a while, one again; a call is under way all the time."""
    for outcome in ("answered", "running"):
        assert ask(thrifty, outcome)
    with client_scope(thrifty.pk):
        Budget.objects.all().delete()
    budgets.forget()
    with client_scope(thrifty.pk):
        UsageRecord.objects.create(request_id="dear", at=datetime.now(UTC), cost=Decimal("0.86"))
        Budget.objects.create(monthly=Decimal("1.00"))
    budgets.forget()
    assert ask(thrifty, "running")  # 0.88 spent and 0.05 held leave room for one
    assert not ask(thrifty, "running")
    with client_scope(thrifty.pk):
        spend = MonthSpend.objects.get()
    assert (spend.spent, spend.held) == (Decimal("0.88"), 2 * HOLD)


@pytest.mark.django_db
def test_what_a_process_spends_before_it_knows_of_the_budget_counts(thrifty: Client) -> None:
    assert ask(thrifty, "answered")
    budgets._remembered[thrifty.pk] = (math.inf, False)  # a process that looked a moment ago
    with client_scope(thrifty.pk):
        ledger.record(request_id="elsewhere", usage=Tokens("m", 46_000, 9_800), prices=PRICES)  # 0.95
    budgets.forget()
    assert not ask(thrifty, "answered")


@pytest.mark.django_db
def test_the_ledger_is_counted_for_a_new_budget_only(thrifty: Client) -> None:
    ask(thrifty, "answered")
    with client_scope(thrifty.pk):
        Budget.objects.update(changed=datetime.now(UTC) - budgets.KNOWN_EVERYWHERE)
    ask(thrifty, "answered")
    with client_scope(thrifty.pk):
        counted = MonthSpend.objects.get().counted
    ask(thrifty, "answered")
    with client_scope(thrifty.pk):
        kept = MonthSpend.objects.get()
    assert (kept.counted, kept.spent, kept.held) == (counted, 3 * COST, 0)


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
