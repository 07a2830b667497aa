"""E-mail to a client that nears or reaches its hourly limit, and its overage of the month.

An alert is a row, unique by client, cause and period, written in the transaction of the request that crosses
the line; so it is written once however many processes notice. A job sends it (billing/tasks.py).
"""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string

from billing import plans
from billing.models import Alert
from billing.money import money
from tenants import outbox, timetable
from tenants.models import Client

SUBJECTS = {
    Alert.Kind.THRESHOLD: "{name}: {percent} % of this hour's requests are used",
    Alert.Kind.LIMIT: "{name}: this hour's limit is reached",
    Alert.Kind.MONTHLY: "{name}: overage in {period:%B %Y}",
}

_written: set[tuple[uuid.UUID, str, datetime]] = set()


def notice(client: Client, hour: datetime, place: int, limit: int) -> None:
    """Write the alerts that the place taken in `hour` calls for; in the client's scope."""
    if client.tier == Client.Tier.FREE or not client.alert_email or not limit:  # of nothing there is no share
        return
    if place >= -(-limit * client.alert_threshold // 100):
        _write(client, Alert.Kind.THRESHOLD, hour, used=place, limit=limit)
    if place >= limit and plans.refuses_over_limit(client):
        _write(client, Alert.Kind.LIMIT, hour, used=place, limit=limit)


def monthly_summary(client: Client, month: datetime, requests: int, cents: int) -> None:
    """Write the summary of a month with overage; in the client's scope."""
    if requests and client.alert_email:
        _write(client, Alert.Kind.MONTHLY, month, used=requests, limit=0, amount_cents=cents)


def send_due() -> int:
    """Send what is written and not sent; how many went out. Safe to run at once in several processes."""
    return outbox.send_due(lambda: Alert.objects.exclude(client__alert_email=""), _message)


def forget() -> None:
    """Forget which alerts this process has written (between tests)."""
    _written.clear()


def _write(client: Client, kind: str, period: datetime, **figures: int) -> None:
    key = (client.pk, kind, period)
    if key in _written:
        return
    Alert.objects.bulk_create([Alert(client_id=client.pk, kind=kind, period=period, **figures)], ignore_conflicts=True)
    transaction.on_commit(lambda: _after_commit(key), robust=True)


def _after_commit(key: tuple[uuid.UUID, str, datetime]) -> None:
    if len(_written) > 10_000:
        _written.clear()
    _written.add(key)
    timetable.soon("billing.tasks.send_alerts")


def _message(alert: Alert) -> EmailMultiAlternatives:
    context: dict[str, Any] = {
        "alert": alert,
        "name": alert.client.name,
        "percent": alert.used * 100 // alert.limit if alert.limit else 0,
        "period": alert.period,
        "ends": alert.period + timedelta(hours=1),
        "amount": money(alert.amount_cents, settings.CURRENCY),
        "refuses": plans.refuses_over_limit(alert.client),
    }
    subject = " ".join(SUBJECTS[Alert.Kind(alert.kind)].format(**context).split())  # a name can hold no header
    message = EmailMultiAlternatives(
        subject, render_to_string("billing/alert.txt", context), settings.DEFAULT_FROM_EMAIL, [alert.client.alert_email]
    )
    message.attach_alternative(render_to_string("billing/alert.html", context), "text/html")
    return message
