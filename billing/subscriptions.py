"""Which tier a client was on, and when: kept from every saved change of `Client.tier`."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.utils import timezone

from billing.models import Subscription
from tenants.models import Client
from tenants.scoping import client_scope


def follow(client: Client, at: datetime | None = None) -> None:
    """Note the client's tier as of `at` (default now, or its creation) when it differs from the last known one."""
    with client_scope(client.pk):
        present = Subscription.objects.select_for_update().filter(ends=None).first()
        if present is not None and present.tier == client.tier:
            return
        moment = at or (timezone.now() if present else client.created)
        if present is not None:
            present.ends = moment
            present.save(update_fields=["ends"])
        Subscription.objects.create(tier=client.tier, starts=moment)


def on_client_saved(
    sender: type[Client], instance: Client, raw: bool = False, update_fields: Collection[str] | None = None, **_: Any
) -> None:
    """Where the tier was not written, the instance may be older than the row's."""
    if not raw and (update_fields is None or "tier" in update_fields):
        follow(instance)


def tier_at(history: list[Subscription], client: Client, at: datetime) -> str | None:
    """The tier in force at a moment; None before the client existed. `history` is the scope's, oldest first.

    Before its first entry the client was on the tier of that entry: it may be older than the history.
    """
    if at < client.created:
        return None
    return next((row.tier for row in history if row.ends is None or at < row.ends), client.tier)
