"""E-mail to a client that nears or reaches its hourly limit, once an hour and cause.

The alert is a row, written in the transaction of the request that crosses the line, so that nobody writes it
twice; sending it is a job's work (billing/tasks.py).
"""

import uuid
from datetime import datetime

from django.db import transaction

from billing.models import Alert
from tenants.models import Client

_written: set[tuple[uuid.UUID, str, datetime]] = set()


def notice(client: Client, hour: datetime, place: int, limit: int) -> None:
    """Write the alerts that the place taken in `hour` calls for; in the client's scope."""
    if client.tier == Client.Tier.FREE or not client.alert_email:
        return
    if place >= -(-limit * client.alert_threshold // 100):
        _write(client, Alert.Kind.THRESHOLD, hour, place, limit)
    if client.hard_cap and place >= limit:
        _write(client, Alert.Kind.LIMIT, hour, place, limit)


def forget() -> None:
    """Forget which alerts this process has written (between tests)."""
    _written.clear()


def _write(client: Client, kind: str, period: datetime, used: int, limit: int) -> None:
    key = (client.pk, kind, period)
    if key in _written:
        return
    Alert.objects.bulk_create(
        [Alert(client_id=client.pk, kind=kind, period=period, used=used, limit=limit)], ignore_conflicts=True
    )
    if len(_written) > 10_000:
        _written.clear()
    transaction.on_commit(lambda: _written.add(key))
