"""An alert goes out once for its hour and cause, however many notice and however often it is tried."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import mail
from django.db import connection
from django.utils import timezone

from billing import alerts, ledger, plans, tasks
from billing.limits import admit
from billing.models import Alert, Plan
from tenants import outbox, timetable
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope, unscoped


@pytest.fixture
def capped(acme: Client) -> Client:
    """Ten requests an hour, then refused; told at half of them."""
    acme.hourly_limit, acme.hard_cap, acme.alert_threshold, acme.alert_email = 10, True, 50, "ops@acme.example"
    acme.save()
    return acme


def ask(client: Client, number: int) -> bool:
    try:
        admission = async_to_sync(admit)(client)
        with client_scope(client.pk):
            ledger.reserve(f"{client.pk}-{number}", client, admission)
    except ApiError:
        return False
    finally:
        if not connection.in_atomic_block:
            connection.close()
    return True


@pytest.mark.django_db(transaction=True)
def test_threshold_and_limit_are_told_once_each(capped: Client, stranger: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(alerts, "_after_commit", lambda key: None)  # every thread is a process with no memory
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda number: ask(capped, number), range(30))) == 10
        assert all(pool.map(lambda number: ask(stranger, number), range(3)))
        sent = sum(pool.map(lambda _: _closing(tasks.send_alerts), range(4)))
    assert sent == 2
    limit, threshold = sorted(mail.outbox, key=lambda message: message.subject, reverse=True)
    assert (limit.subject, limit.to) == ("Acme Outdoor: this hour's limit is reached", ["ops@acme.example"])
    assert threshold.subject == "Acme Outdoor: 50 % of this hour's requests are used"
    for message in (threshold, limit):
        assert [kind for _, kind in message.alternatives] == ["text/html"]
        assert "Acme Outdoor" in message.body and "<strong>Acme Outdoor</strong>" in message.alternatives[0][0]
    assert "5 of the 10 requests" in threshold.body


def _closing(act: Any) -> Any:
    try:
        return act()
    finally:
        connection.close()


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"tier": "free"}, {"alert_email": ""}])
def test_free_clients_and_those_without_an_address_get_none(capped: Client, change: dict[str, str]) -> None:
    Client.objects.update(**change)
    capped.refresh_from_db()
    assert all(ask(capped, number) for number in range(10))
    assert tasks.send_alerts() == 0
    assert mail.outbox == []


@pytest.mark.django_db
def test_where_the_plan_itself_refuses_it_is_told_as_with_a_cap(capped: Client) -> None:
    strict = {"requests_per_hour": 3, "overage": False, "documents": 100}
    Plan.objects.bulk_create([Plan(tier="paid", effective_from=timezone.now() - timedelta(days=1), **strict)])
    plans.forget()
    capped.hard_cap = False
    capped.save()
    assert [ask(capped, number) for number in range(11)] == [True] * 10 + [False]  # the client's own limit holds
    assert tasks.send_alerts() == 2
    assert {message.subject for message in mail.outbox} == {
        "Acme Outdoor: 50 % of this hour's requests are used",
        "Acme Outdoor: this hour's limit is reached",
    }
    for message in mail.outbox:
        for text in (message.body, message.alternatives[0][0]):
            assert "visitors are refused until" in text and "overage" not in text


@pytest.mark.django_db
def test_where_nothing_is_included_no_share_of_it_is_told(capped: Client) -> None:
    """All that such a client uses is overage, as agreed: it is no news in every hour."""
    capped.hourly_limit, capped.hard_cap = 0, False
    capped.save()
    assert all(ask(capped, number) for number in range(3))
    assert tasks.send_alerts() == 0


@pytest.mark.django_db
def test_a_mail_server_that_fails_is_tried_again_later(capped: Client, settings: Any) -> None:
    assert all(ask(capped, number) for number in range(5))
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1  # nobody listens
    assert tasks.send_alerts() == 0
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert tasks.send_alerts() == 0  # claimed a moment ago
    with unscoped("the test moves the clock"):
        Alert.objects.update(claimed=timezone.now() - outbox.CLAIM - timedelta(seconds=1))
    assert tasks.send_alerts() == 1
    assert tasks.send_alerts() == 0


@pytest.mark.django_db
def test_the_month_is_summed_up(capped: Client) -> None:
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with client_scope(capped.pk):
        alerts.monthly_summary(capped, month, 250, 12345)
        alerts.monthly_summary(capped, month, 250, 12345)
    assert tasks.send_alerts() == 1
    assert "250 requests over its hourly limit" in mail.outbox[0].body
    assert "123.45 USD" in mail.outbox[0].body


@pytest.mark.django_db(transaction=True)
def test_the_embedded_default_sends_without_a_cluster(capped: Client, settings: Any) -> None:
    settings.EMBEDDED = True
    timetable.start_thread()
    try:
        assert all(ask(capped, number) for number in range(5))
        deadline = time.monotonic() + 20
        while not mail.outbox and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        timetable.stop_thread()
    assert [message.to for message in mail.outbox] == [["ops@acme.example"]]
