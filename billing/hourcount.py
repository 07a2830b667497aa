"""The exact counts of a client's hour, in the database: the decision that counts.

They change in the transaction that writes the request's rows, so a rolled-back request counts nowhere.
The row lock lasts until that transaction ends: count last and commit at once.
"""

import uuid
from datetime import datetime

from django.db import connection
from django.db.models import F

from billing.models import HourCount
from tenants import statements
from tenants.scoping import client_scope

# One statement decides and counts, so any number of processes agree. (The ORM has no conditional upsert.)
TAKE = """
INSERT INTO billing_hourcount (client_id, hour, places, delivered) VALUES (%s, %s, 1, 0)
ON CONFLICT (client_id, hour) DO UPDATE SET places = billing_hourcount.places + 1
WHERE billing_hourcount.places < %s
RETURNING places
"""
NO_CAP = 2**31 - 1
DELIVER = """
INSERT INTO billing_hourcount (client_id, hour, places, delivered) VALUES (%s, %s, 1, 1)
ON CONFLICT (client_id, hour) DO UPDATE SET delivered = billing_hourcount.delivered + 1
RETURNING delivered
"""


def take(client_id: uuid.UUID, hour: datetime, cap: int | None) -> int | None:
    """The place taken in the hour, counted from 1; None when `cap` places are gone. In the client's scope."""
    if cap is not None and cap < 1:
        return None
    return _number(TAKE, client_id, hour, NO_CAP if cap is None else cap)


def deliver(client_id: uuid.UUID, hour: datetime) -> int:
    """Count a request that holds a place as delivered; how many are. In the client's scope."""
    return _number(DELIVER, client_id, hour) or 0


def give_back(hour: datetime) -> None:
    """One place fewer; in the client's scope."""
    HourCount.objects.filter(hour=hour, places__gt=0).update(places=F("places") - 1)


def places(client_id: uuid.UUID, hour: datetime) -> int:
    """How many places are taken."""
    with client_scope(client_id):
        return HourCount.objects.filter(hour=hour).values_list("places", flat=True).first() or 0


def _number(statement: str, client_id: uuid.UUID, hour: datetime, *arguments: int) -> int | None:
    """What the statement returns, or None."""
    fields = {field.name: field for field in HourCount._meta.concrete_fields}
    client = fields["client"].get_db_prep_save(client_id, connection)
    found = statements.by_hand(statement, [client, fields["hour"].get_db_prep_save(hour, connection), *arguments])
    return found[0][0] if found else None
