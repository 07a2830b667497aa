"""Makes rows of every client-owned model from its fields alone, so that a new model is tested without a line here."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from django.db import models

from tenants.models import Client
from tenants.policies import client_owned_models
from tenants.scoping import ClientOwned, client_scope

Rows = dict[type[ClientOwned], ClientOwned]
OWNED = client_owned_models()
_numbers = count(1)


def canary(client: Client) -> str:
    """A text that is in the client's rows and must never be in a stranger's answers."""
    return f"canary{client.pk.hex[:12]}"


def furnish(client: Client, models: Iterable[type[ClientOwned]] = tuple(OWNED)) -> Rows:
    """One new row of every client-owned model (or of these), foreign keys set to one another."""
    rows: Rows = {}
    with client_scope(client.pk):
        for model in models:
            _row(model, client, rows)
    return rows


def _row(model: type[ClientOwned], client: Client, rows: Rows) -> ClientOwned:
    if model not in rows:
        row = model(client_id=client.pk)
        for field in model._meta.concrete_fields:
            if field.name != "client" and not isinstance(field, models.AutoField):
                setattr(row, field.attname, _value(field, client, rows))
        row.save()
        rows[model] = row
    return rows[model]


def _value(field: Any, client: Client, rows: Rows) -> Any:
    """A value that no other row has, except where the field offers choices."""
    number = next(_numbers)
    if isinstance(field, models.ForeignKey):
        return None if field.null else _row(field.related_model, client, rows).pk
    if field.choices:
        return field.choices[0][0]
    if isinstance(field, models.UUIDField):
        return uuid.uuid4()
    if isinstance(field, models.DateTimeField | models.DateField):
        moment = datetime(2020 + number % 5, 1 + number % 12, 1 + number % 28, number % 24, tzinfo=UTC)
        return moment if isinstance(field, models.DateTimeField) else moment.date()
    if isinstance(field, models.BooleanField):
        return False
    if isinstance(field, models.DecimalField):
        return Decimal(number)
    if isinstance(field, models.FloatField):
        return float(number)
    if isinstance(field, models.BinaryField):
        return canary(client).encode()
    if isinstance(field, models.IntegerField):
        return number % 20  # an hour of a day, too
    if isinstance(field, models.JSONField):
        return {"note": canary(client)} if field.default is dict else [canary(client)]
    return f"{canary(client)}-{number}"[: field.max_length]
