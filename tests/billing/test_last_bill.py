"""Who leaves is billed for what was not billed yet, before anything is erased."""

import json
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from billing import invoices, payments, plans, tasks
from billing.models import BillingEvent, Invoice, InvoiceLine, PaymentAccount, Plan
from tenants import erasure
from tenants.models import Client
from tenants.scoping import client_scope, unscoped
from tests.billing.stripe_server import stripe_server
from tests.billing.test_invoices import write_overage
from tests.config.desk import browser_of

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)
LEFT = datetime(2026, 10, 21, 15, tzinfo=UTC)  # twenty of October's days are paid for


@pytest.fixture
def busy(acme: Client, stranger: Client) -> Client:
    """August is billed; September and October have overage of 10 and 20 cents. 31 dollars a month."""
    Client.objects.update(created=datetime(2026, 8, 1, tzinfo=UTC))
    plan = {"tier": "paid", "requests_per_hour": 1000, "overage": True, "documents": 9, "subscription_cents": 3100}
    Plan.objects.bulk_create([Plan(effective_from=datetime(2026, 1, 1, tzinfo=UTC), **plan)])
    plans.forget()
    acme.refresh_from_db()
    for client in (acme, stranger):
        with client_scope(client.pk):
            PaymentAccount.objects.create(customer_id=f"cus_{client.name.split()[0]}")
            write_overage(client, datetime(2026, 9, 5, 9, tzinfo=UTC), 5, 10)
            write_overage(client, datetime(2026, 10, 5, 9, tzinfo=UTC), 150, 10)
    assert invoices.close(acme, date(2026, 8, 1)) is not None
    return acme


def billed(client_id: Any) -> list[tuple[str, str, int]]:
    with client_scope(client_id):
        rows = InvoiceLine.objects.order_by("invoice__month", "position")
        return [(f"{row.invoice.month:%m}", row.kind, row.amount_cents) for row in rows.select_related("invoice")]


@pytest.mark.django_db
def test_every_month_up_to_the_day_is_billed_once(busy: Client, stranger: Client) -> None:
    for issued in (2, 0):
        assert len(invoices.close_last(busy.pk, LEFT)) == issued
        assert billed(busy.pk) == [
            ("08", "subscription", 3100),
            ("09", "subscription", 3100), ("09", "overage", 10),
            ("10", "subscription", 2000), ("10", "overage", 20),
        ]  # fmt: skip
    assert billed(stranger.pk) == []


@pytest.mark.django_db
def test_an_erased_client_has_its_last_bills_and_pays_them(busy: Client, stranger: Client, settings: Any) -> None:
    call_command("delete_client", str(busy.pk), "--yes", "--now", "--json", stdout=(out := StringIO()))
    receipt = json.loads(out.getvalue())
    assert receipt["after"] == dict.fromkeys(receipt["before"], 0)
    assert not Client.objects.filter(pk=busy.pk).exists()
    with client_scope(busy.pk):
        months = list(Invoice.objects.order_by("month").values_list("month", flat=True))
        events = list(BillingEvent.objects.values_list("identifier", flat=True))
        kept = {"Invoice": len(months), "BillingEvent": len(events), "PaymentAccount": 1}
    assert months[:3] == [date(2026, 8, 1), SEPTEMBER, OCTOBER]
    assert {name: receipt["kept"][f"billing.{name}"] for name in kept} == kept
    call_command("close_month", month=OCTOBER, stdout=(out := StringIO()))
    assert out.getvalue().strip() == "2026-10: 1 invoices issued"  # the stranger's

    with client_scope(stranger.pk):
        PaymentAccount.objects.all().delete()
    with stripe_server() as (stripe, settings.STRIPE_BASE_URL):
        settings.STRIPE_API_KEY = "sk_test_1"
        assert tasks.deliver_billing_events() == len(events)
    assert set(stripe.calls) == set(events)
    assert {form["payload[stripe_customer_id]"] for _, form in stripe.calls.values()} == {f"cus_{busy.name.split()[0]}"}


@pytest.mark.django_db
def test_a_bill_that_no_provider_can_collect_is_shown_to_a_person(busy: Client, stranger: Client) -> None:
    with client_scope(busy.pk):
        PaymentAccount.objects.all().delete()
    erasure.request_erasure(busy.pk)
    erasure.erase(busy.pk)
    with unscoped("the test looks at both"):
        events = list(BillingEvent.objects.values_list("pk", flat=True))
    ticked = {"action": "try_again", "_selected_action": events}  # nothing would ever try them
    assert browser_of("root", is_superuser=True).post("/admin/billing/billingevent/", ticked).status_code == 302
    with unscoped("the test looks at both"):
        found = set(BillingEvent.objects.values_list("client_id", "state", "error"))
    assert found == {(busy.pk, "failed", payments.NO_ACCOUNT)}


@pytest.mark.django_db
def test_who_was_never_billed_leaves_no_payment_account(acme: Client) -> None:
    with client_scope(acme.pk):
        PaymentAccount.objects.create(customer_id="cus_1")
    erasure.request_erasure(acme.pk)
    assert erasure.erase(acme.pk).finished
    with client_scope(acme.pk):
        assert (Invoice.objects.count(), PaymentAccount.objects.count()) == (0, 0)
