"""The exact count of a client's hour, in the database: the decision that counts.

`take` runs in the transaction that writes the request's rows, so a rolled-back request holds no place.
Its row lock lasts until that transaction ends: take a place last and commit at once.
"""

import uuid
from datetime import datetime

from django.db import connection
from django.db.models import F

from billing.models import HourCount
from tenants.scoping import client_scope

# One statement decides and counts, so any number of processes agree. (The ORM has no conditional upsert.)
TAKE = """
INSERT INTO billing_hourcount (client_id, hour, places) VALUES (%s, %s, 1)
ON CONFLICT (client_id, hour) DO UPDATE SET places = billing_hourcount.places + 1
WHERE billing_hourcount.places < %s
RETURNING places
"""
NO_CAP = 2**31 - 1


def take(client_id: uuid.UUID, hour: datetime, cap: int | None) -> int | None:
    """The place taken in the hour, counted from 1; None when `cap` places are gone. In the client's scope."""
    if cap is not None and cap < 1:
        return None
    fields = {field.name: field for field in HourCount._meta.concrete_fields}
    values = [
        fields["client"].get_db_prep_save(client_id, connection),
        fields["hour"].get_db_prep_save(hour, connection),
    ]
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [*values, NO_CAP if cap is None else cap])
        row = cursor.fetchone()
    return row[0] if row else None


def give_back(hour: datetime) -> None:
    """One place fewer; in the client's scope."""
    HourCount.objects.filter(hour=hour, places__gt=0).update(places=F("places") - 1)


def places(client_id: uuid.UUID, hour: datetime) -> int:
    """How many places are taken."""
    with client_scope(client_id):
        return HourCount.objects.filter(hour=hour).values_list("places", flat=True).first() or 0
