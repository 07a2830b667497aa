"""Delete what a client no longer wants kept. The books hold no content and stay, and so does the audit."""

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import structlog
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from chat.models import Contact, Message, Session
from chat.retention.models import Retention
from tenants.models import AuditEvent
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
BATCH = 1_000  # rows of one transaction
ACTOR = "retention"


def first_kept(rule: Retention, now: datetime) -> datetime | None:
    """The first moment whose conversations are kept: midnight, in the client's time zone, so many days ago."""
    if rule.conversation_days is None:
        return None
    return datetime.combine(_today(rule, now) - timedelta(days=rule.conversation_days), time.min, rule.zone)


def apply_due(now: datetime | None = None) -> int:
    """Apply the rules of all clients whose day has begun since they were last applied; how many those were."""
    now = now or timezone.now()
    with unscoped("rules of all clients are applied by one job"):
        rules = list(Retention.objects.exclude(conversation_days=None))
    due = [rule for rule in rules if rule.applied is None or rule.applied < _today(rule, now)]
    for rule in due:
        try:
            apply(rule.client_id, now)
        except Exception:
            log.exception("retention", client_id=str(rule.client_id))  # the others' turn comes all the same
    return len(due)


def apply(client_id: uuid.UUID, now: datetime, progress: Callable[[int], None] = lambda rows: None) -> dict[str, int]:
    """Delete what is older than the client's rule says, in batches; how many rows of what.

    Harmless when it runs twice, at once with itself, or after it was killed: the audit then still gets every count.
    """
    rule = _rule(client_id)
    before = first_kept(rule, now) if rule else None
    if rule is None or before is None:
        return {}
    for old in OLD:
        while rows := _delete_batch(rule, old, before):
            progress(rows)
    return _note(rule, before, _today(rule, now))


def would_delete(client_id: uuid.UUID, now: datetime, most: int | None = None) -> dict[str, int]:
    """What `apply` would delete of messages, addresses and whole conversations, counted no further than `most`."""
    rule = _rule(client_id)
    before = first_kept(rule, now) if rule else None
    if before is None:
        return {}
    with client_scope(client_id):
        found = (old(before) for old in OLD)
        return {rows.model._meta.label: count for rows in found if (count := rows.order_by()[:most].count())}


def _rule(client_id: uuid.UUID) -> Retention | None:
    with client_scope(client_id):
        return Retention.objects.first()


def _today(rule: Retention, now: datetime) -> date:
    return now.astimezone(rule.zone).date()


def _old_messages(before: datetime) -> QuerySet[Any]:
    return Message.objects.filter(created__lt=before).order_by("created")


def _old_contacts(before: datetime) -> QuerySet[Any]:
    """Addresses that visitors left, whether the client's people were told of them or not."""
    return Contact.objects.filter(created__lt=before).order_by("created")


def _old_sessions(before: datetime) -> QuerySet[Any]:
    """A conversation goes with the last of its messages and addresses; what it tells of the visitor's page, with it."""
    kept = {"session": OuterRef("pk"), "created__gte": before}
    silent = ~Exists(Message.objects.filter(**kept)) & ~Exists(Contact.objects.filter(**kept))
    return Session.objects.filter(silent, last_seen__lt=before).order_by("last_seen")


OLD = (_old_messages, _old_contacts, _old_sessions)  # in this order: a conversation's batch is then small


def _delete_batch(rule: Retention, old: Callable[[datetime], QuerySet[Any]], before: datetime) -> int:
    """Delete one batch with all that hangs on it, and remember the counts in the same transaction."""
    with client_scope(rule.client_id):
        rows = old(before)
        rows_deleted, by_model = rows.model._default_manager.filter(
            pk__in=list(rows.values_list("pk", flat=True)[:BATCH])
        ).delete()
        if rows_deleted:
            locked = Retention.objects.select_for_update().get(pk=rule.pk)
            locked.deleted = dict(Counter(locked.deleted) + Counter(by_model))
            locked.save(update_fields=["deleted"])
    return rows_deleted


def _note(rule: Retention, before: datetime, today: date) -> dict[str, int]:
    """Write the counts into the audit, once, and that this day is done."""
    with client_scope(rule.client_id):
        locked = Retention.objects.select_for_update().get(pk=rule.pk)
        deleted, locked.deleted, locked.applied = locked.deleted, {}, today
        locked.save(update_fields=["deleted", "applied"])
        if deleted:
            AuditEvent.objects.create(
                actor=ACTOR,
                action="apply retention",
                client_id=rule.client_id,
                object=f"{rule._meta.label}:{rule.pk}",
                name=f"conversations before {before:%Y-%m-%d %H:%M %Z}",
                after=deleted,
            )
    return deleted
