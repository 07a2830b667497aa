"""Tiers as data: what a client's plan includes now, or included at a moment.

Plans are rows with effective dates (models.Plan). Every request asks for its plan, so the rows are
remembered for REMEMBER_SECONDS; an edit in the admin is seen everywhere within that time.
"""

import asyncio
import time
from datetime import UTC, datetime

import structlog
from django.db import Error as DatabaseFailure
from django.utils import timezone

from billing.models import Plan
from tenants.models import Client

log = structlog.get_logger(__name__)

REMEMBER_SECONDS = 30.0

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
# What the migration seeds, and what holds while the table can't be read or is empty.
SEED = (
    Plan(tier="free", effective_from=BEGINNING, requests_per_hour=100, overage=False, documents=10),
    Plan(tier="paid", effective_from=BEGINNING, requests_per_hour=1000, overage=True, documents=100),
)

_rows: tuple[Plan, ...] = SEED
_until = 0.0


def plan_of(client: Client, at: datetime | None = None) -> Plan:
    """The plan of the client's present tier, as it is now or was at `at`."""
    return plan_at(client.tier, at)


def plan_at(tier: str, at: datetime | None = None) -> Plan:
    """The plan of a tier at a moment (default now); before its first row, the seed."""
    if stale() and not _in_event_loop():
        load()
    at = at or timezone.now()
    known = [row for row in _rows if row.tier == tier and row.effective_from <= at]
    return max(known, key=lambda row: row.effective_from) if known else next(r for r in SEED if r.tier == tier)


def hourly_limit(client: Client) -> int:
    """Included requests per clock hour: the client's own figure (paid), else the tier's."""
    own = client.hourly_limit if client.tier == Client.Tier.PAID else None
    return plan_of(client).requests_per_hour if own is None else own


def refuses_over_limit(client: Client) -> bool:
    """Over the limit, is a request refused (free, hard cap) rather than billed as overage?"""
    return not plan_of(client).overage or client.hard_cap


def stale() -> bool:
    return time.monotonic() >= _until


def load() -> None:
    """Read the plans anew. Synchronous code only; with the database away the last known ones stay."""
    global _rows, _until
    try:
        _rows = tuple(Plan.objects.all()) or SEED
    except DatabaseFailure:
        log.warning("plans can't be read; the last known ones stay in force")
    _until = time.monotonic() + REMEMBER_SECONDS


def forget() -> None:
    """Read the plans at the next use (after a change in this process, and between tests)."""
    global _until
    _until = 0.0


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
