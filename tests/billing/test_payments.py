"""Invoice lines reach Stripe once each, through failures, hang-ups and processes at once."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import structlog
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client as Browser
from django.utils import timezone

from billing import invoices, payments, tasks
from billing.models import BillingEvent, Invoice, PaymentAccount, UsageRecord
from billing.payments import ATTEMPTS
from tenants.models import Client
from tenants.scoping import client_scope, unscoped
from tests.billing.stripe_server import StripeServer, stripe_server

OCTOBER = date(2026, 10, 1)


@pytest.fixture
def stripe(settings: Any) -> Iterator[StripeServer]:
    settings.STRIPE_API_KEY, settings.STRIPE_WEBHOOK_SECRET = "sk_test_1", "whsec_1"
    with stripe_server() as (stripe, settings.STRIPE_BASE_URL):
        yield stripe


@pytest.fixture
def invoice(acme: Client) -> Invoice:
    """Acme's October: two hours of overage, 10 and 20 cents."""
    return bill(acme, {9: 5, 10: 150})


def bill(client: Client, overage: dict[int, int]) -> Invoice:
    Client.objects.filter(pk=client.pk).update(created=datetime(2026, 9, 1, tzinfo=UTC))
    client.refresh_from_db()
    with client_scope(client.pk):
        PaymentAccount.objects.create(customer_id=f"cus_{client.name.split()[0]}")
        row = {"overage": True, "overage_cents": 10}
        UsageRecord.objects.bulk_create(
            UsageRecord(request_id=f"{client.name}-{hour}-{n}", at=datetime(2026, 10, 5, hour, tzinfo=UTC), **row)
            for hour, count in overage.items()
            for n in range(count)
        )
    issued = invoices.close(client, OCTOBER)
    assert issued is not None
    return issued


def states() -> dict[str, str]:
    with unscoped("the test looks at all events"):
        return dict(BillingEvent.objects.values_list("identifier", "state"))


def hours_pass() -> None:
    with unscoped("the test moves the clock"):
        BillingEvent.objects.update(not_before=timezone.now() - timedelta(seconds=1))


@pytest.mark.django_db
def test_each_line_is_a_meter_event_and_a_credit_note_a_balance(invoice: Invoice, stripe: StripeServer) -> None:
    note = invoices.credit(invoice, 15, "a bad day")
    assert tasks.deliver_billing_events() == 3
    assert tasks.deliver_billing_events() == 0
    meter = {
        "event_name": "support_chat_cents",
        "timestamp": str(int(invoice.issued.timestamp())),
        "payload[stripe_customer_id]": "cus_Acme",
    }
    first, second = f"{invoice.number}-2", f"{invoice.number}-3"
    assert stripe.calls == {
        first: ("/v1/billing/meter_events", {**meter, "identifier": first, "payload[value]": "10"}),
        second: ("/v1/billing/meter_events", {**meter, "identifier": second, "payload[value]": "20"}),
        f"{note.number}-1": (
            "/v1/customers/cus_Acme/balance_transactions",
            {"amount": "-15", "currency": "usd", "description": f"Credit for invoice {invoice.number}"},
        ),
    }
    assert set(states().values()) == {"processed"}


@pytest.mark.django_db
def test_without_a_provider_or_an_account_events_wait(acme: Client, stranger: Client, settings: Any) -> None:
    bill(acme, {9: 1})
    assert tasks.deliver_billing_events() == 0
    assert set(states().values()) == {"pending"}
    with client_scope(acme.pk):
        PaymentAccount.objects.all().delete()
    with stripe_server() as (stripe, settings.STRIPE_BASE_URL):
        settings.STRIPE_API_KEY = "sk_test_1"
        assert tasks.deliver_billing_events() == 0
    assert (stripe.requests, set(states().values())) == (0, {"pending"})


@pytest.mark.django_db
@pytest.mark.parametrize("failure", [429, 500, 0])
def test_what_passes_is_tried_again(invoice: Invoice, stripe: StripeServer, failure: int) -> None:
    stripe.failures = [failure]
    assert tasks.deliver_billing_events() == 1
    assert tasks.deliver_billing_events() == 0  # not yet
    hours_pass()
    assert tasks.deliver_billing_events() == 1
    assert len(stripe.calls) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("refusal", [401, 403])
def test_a_wrong_key_fails_no_event_and_is_told_once(invoice: Invoice, stripe: StripeServer, refusal: int) -> None:
    payments._told.clear()
    stripe.failures = [refusal] * 3 * ATTEMPTS
    with structlog.testing.capture_logs() as told:
        for _ in range(2 * ATTEMPTS):
            assert tasks.deliver_billing_events() == 0
            hours_pass()
    assert stripe.requests == 2 * ATTEMPTS  # one call a run: every other would get the same answer
    assert [line["error"] for line in told] == [f"Stripe answered {refusal}: No such meter"]
    with unscoped("the test looks at all events"):
        assert set(BillingEvent.objects.values_list("state", "attempts")) == {("pending", 0)}
    stripe.failures = []  # the operator has put in a good key
    assert tasks.deliver_billing_events() == 2
    assert set(states().values()) == {"processed"}


@pytest.mark.django_db
def test_an_event_that_alone_is_not_accepted_holds_up_no_other(invoice: Invoice, stripe: StripeServer) -> None:
    stripe.failures = [403]
    assert [tasks.deliver_billing_events() for _ in range(2)] == [0, 1]
    assert sorted(states().values()) == ["pending", "processed"]


@pytest.mark.django_db
def test_a_customer_is_named_by_no_path(acme: Client, invoice: Invoice, stripe: StripeServer) -> None:
    with client_scope(acme.pk):
        account = PaymentAccount.objects.get()
        for wrong in ("cus_ 1/../x", "cus_1\n", "x?y", "", "cus_é"):
            account.customer_id = wrong
            with pytest.raises(ValidationError):
                account.full_clean()
        account.customer_id = "cus_1-A"
        account.full_clean()
        account.customer_id = "cus_ 1/../x"  # older than the rule
        account.save()
    note = invoices.credit(invoice, 15, "a bad day")
    tasks.deliver_billing_events()
    path, _ = stripe.calls[f"{note.number}-1"]
    assert path == "/v1/customers/cus_%201%2F..%2Fx/balance_transactions"


@pytest.mark.django_db
def test_an_answer_that_is_lost_charges_once(invoice: Invoice, stripe: StripeServer) -> None:
    stripe.answer_lost = True
    tasks.deliver_billing_events()
    hours_pass()
    tasks.deliver_billing_events()
    assert (stripe.requests, len(stripe.calls)) == (3, 2)
    assert set(states().values()) == {"processed"}


@pytest.mark.django_db
def test_what_does_not_pass_is_kept_for_a_person(invoice: Invoice, stripe: StripeServer) -> None:
    stripe.failures = [400] + [503] * ATTEMPTS
    for _ in range(ATTEMPTS + 1):
        tasks.deliver_billing_events()
        hours_pass()
    assert stripe.calls == {}
    with unscoped("the test looks at all events"):
        rows = list(BillingEvent.objects.order_by("line").values_list("state", "attempts", "error"))
    assert rows == [
        ("failed", 1, "Stripe answered 400: No such meter"),
        ("failed", ATTEMPTS, "Stripe answered 503: No such meter"),
    ]


@pytest.mark.django_db(transaction=True)
def test_processes_at_once_do_not_take_the_same_event(acme: Client, stranger: Client, stripe: StripeServer) -> None:
    for client in (acme, stranger):
        bill(client, dict.fromkeys(range(10), 1))

    def deliver(_: int) -> int:
        try:
            return tasks.deliver_billing_events()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(deliver, range(4))) == 20
    assert (stripe.requests, len(stripe.calls)) == (20, 20)


@pytest.mark.django_db
def test_a_webhook_is_believed_only_with_its_signature(invoice: Invoice, stripe: StripeServer, client: Browser) -> None:
    tasks.deliver_billing_events()
    sample = {"error_message": "unknown customer", "request": {"identifier": f"{invoice.number}-2"}}
    report = {"reason": {"error_types": [{"code": "meter_event_customer_not_found", "sample_errors": [sample]}]}}
    body = json.dumps({"type": "v1.billing.meter.error_report_triggered", "data": report})

    def post(secret: str, age: int = 0, sent: str = body) -> int:
        stamp = int(time.time()) - age
        signature = hmac.new(secret.encode(), f"{stamp}.{body}".encode(), hashlib.sha256).hexdigest()
        headers = {"Stripe-Signature": f"t={stamp},v1={'0' * 64},v1={signature}"}
        return client.post("/api/billing/stripe", sent, "application/json", headers=headers).status_code

    for refused in (post("wrong"), post("whsec_1", age=400), post("whsec_1", sent=body + " "), post("")):
        assert refused == 400
    assert set(states().values()) == {"processed"}
    assert post("whsec_1") == 200
    assert states() == {f"{invoice.number}-2.2": "failed", f"{invoice.number}-3": "processed"}


@pytest.mark.django_db
def test_what_the_provider_could_not_use_reaches_it_again(invoice: Invoice, stripe: StripeServer) -> None:
    """Stripe answers a key that it knows with what it said then, so that nothing would come of the same one."""
    name, other = f"{invoice.number}-2", f"{invoice.number}-3"
    for again in (name, f"{name}.2"):
        assert tasks.deliver_billing_events() == (2 if again == name else 1)
        assert payments.refuse(again, "no meter of that name")
        with unscoped("staff try again, when the meter is there"):
            assert BillingEvent.objects.filter(state="failed").update(state="pending", attempts=0) == 1
        hours_pass()
    assert tasks.deliver_billing_events() == 1
    assert {key: form["identifier"] for key, (_, form) in stripe.calls.items()} == {
        key: key for key in (name, f"{name}.2", f"{name}.3", other)
    }
    assert not payments.refuse(name, "the first report, which comes a second time")
    assert states() == {f"{name}.3": "processed", other: "processed"}


@pytest.mark.django_db
def test_a_bill_that_waited_for_its_account_is_taken_months_later(
    invoice: Invoice, stripe: StripeServer, monkeypatch: Any
) -> None:
    later = timezone.now() + timedelta(days=60)
    monkeypatch.setattr(timezone, "now", lambda: later)
    stripe.clock = later.timestamp
    assert tasks.deliver_billing_events() == 2
    assert [form.get("timestamp") for _, form in stripe.calls.values()] == [None, None]
