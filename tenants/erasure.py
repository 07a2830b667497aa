"""Deleting a client: everything of it is erased, and a receipt says so.

Rows are found from the models. What lies elsewhere (vectors, files, caches) is erased by functions that the
apps above register when they start. The books outlive their client: a model whose `client` is DO_NOTHING
stays, and holds figures only; it is completed before anything goes (`register_last`). The audit keeps who did what
and when, without the words.

A client is switched off first, and nothing is erased before what was under way has ended: every process
refuses its callers within 2 seconds, and the web processes stop its answers and forget it (`under_way`).
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone

from tenants import redis_keys
from tenants.models import AuditEvent, Client, Erasure, StaffMember
from tenants.policies import client_owned_models
from tenants.scoping import ClientOwned, client_scope

ROWS = 1_000  # of a transaction
PASSES = 3  # a request or job that was under way may write once more after its rows were erased
SETTLE = timedelta(seconds=6)  # until requests under way have ended: 2 to be refused, 2 to be stopped, 2 to write
AGAIN, AGAIN_AT_MOST = timedelta(minutes=10), timedelta(hours=6)  # until an erasure that did not end is taken up again
LOG_MS = 5_000  # that emptying SQLite's log waits for others; else its words stay until they are written over
FORGET = timedelta(seconds=30)  # for so long after the request the processes look again for what they remember
Counts = dict[str, int]

log = structlog.get_logger(__name__)


class ErasureIncomplete(RuntimeError):
    """Something of the client is still there; it is tried again (`resume`)."""


@dataclass(frozen=True)
class _Eraser:
    count: Callable[[uuid.UUID], int]
    erase: Callable[[uuid.UUID], None]


_outside: dict[str, _Eraser] = {}
_memories: list[Callable[[uuid.UUID], object]] = []
_last: list[Callable[[uuid.UUID, datetime], object]] = []


def register(name: str, count: Callable[[uuid.UUID], int], erase: Callable[[uuid.UUID], None]) -> None:
    """Have something outside the database erased too; called from an app's `ready()`.

    Both functions get the client's id, no scope is open; `erase` may run twice. The receipt shows `name`.
    """
    _outside[name] = _Eraser(count, erase)


def register_keys(name: str, *patterns: str) -> None:
    """The same for keys of Redis; `patterns` as in tenants/redis_keys.py."""

    def count(client_id: uuid.UUID) -> int:
        return redis_keys.count(client_id, *patterns)

    register(name, count, partial(_erase_keys, patterns))


def register_memory(forget: Callable[[uuid.UUID], object]) -> None:
    """Have every web process forget something of a client that it alone remembers; called from an app's `ready()`."""
    _memories.append(forget)


def register_last(settle: Callable[[uuid.UUID, datetime], object]) -> None:
    """Have something done while the client's rows are still there, such as its last bill; called from `ready()`.

    Gets the client's id and when it was switched off, no scope is open; runs before anything is erased, perhaps twice.
    """
    _last.append(settle)


def under_way() -> list[uuid.UUID]:
    """The clients whose deletion was requested a moment ago."""
    since = timezone.now() - FORGET
    return list(Erasure.objects.filter(requested__gte=since).values_list("pk", flat=True))


def forget(client_id: uuid.UUID) -> None:
    """Forget a client in this process."""
    for memory in _memories:
        memory(client_id)


def request_erasure(client_id: uuid.UUID) -> Erasure:
    """Switch the client off for good (within 2 seconds everywhere) and note that it is to be erased."""
    with transaction.atomic():
        Client.objects.filter(pk=client_id).update(status=Client.Status.DISABLED)
        erasure, _ = Erasure.objects.get_or_create(pk=client_id, defaults={"due": timezone.now() + AGAIN})
    return erasure


def erase(client_id: uuid.UUID) -> Erasure:
    """Erase a client for which it was requested; harmless when repeated. ErasureIncomplete if something is left."""
    erasure = Erasure.objects.get(pk=client_id)
    if erasure.finished:
        return erasure
    time.sleep(max(0.0, (erasure.requested + SETTLE - timezone.now()).total_seconds()))
    erasure.before = erasure.before or holdings(client_id)
    erasure.save()
    for settle in _last:
        settle(client_id, erasure.requested)
    for _ in range(PASSES):
        _erase_once(client_id)
        erasure.after = holdings(client_id)
        if not any(erasure.after.values()):
            break
    else:
        erasure.save()
        raise ErasureIncomplete(f"still there: {', '.join(name for name, count in erasure.after.items() if count)}")
    erasure.kept = {model._meta.label: _rows(model, client_id) for model in client_owned_models() if outlives(model)}
    erasure.finished = timezone.now()
    with client_scope(client_id):
        Client.objects.filter(pk=client_id).delete()
        erasure.save()
    empty_log()
    return erasure


def empty_log() -> None:
    """After an erasure, outside of transactions. SQLite's log keeps what was deleted until it is written over, which
    may be long; so it is written back and emptied at once. (PostgreSQL's is not ours to touch, and goes by itself.)"""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            (usual,) = cursor.fetchone()
            cursor.execute(f"PRAGMA busy_timeout={LOG_MS}")  # a visitor waits, and writers wait behind this
            try:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                cursor.execute(f"PRAGMA busy_timeout={usual}")


def run(erasure: Erasure, *, here: bool = False) -> Erasure:
    """Have a requested erasure done: by a worker, or in this process, where there is no worker or `here` says so."""
    if here or settings.EMBEDDED:
        return erase(erasure.pk)
    from django_q.tasks import async_task

    async_task("tenants.tasks.erase_client", str(erasure.pk), task_name=f"erase {erasure.pk}")
    return erasure


def resume() -> int:
    """Have the erasures done that are due and not finished; how many. Harmless at once with itself.

    The next attempt is as far off as the request lies back, from 10 minutes to 6 hours.
    """
    now, taken = timezone.now(), 0
    for erasure in Erasure.objects.filter(Q(due=None) | Q(due__lte=now), finished=None).order_by("requested"):
        wait = min(max(now - erasure.requested, AGAIN), AGAIN_AT_MOST)
        if Erasure.objects.filter(pk=erasure.pk, due=erasure.due).update(due=now + wait):
            taken += 1
            try:
                run(erasure)
            except Exception:  # the others' turn comes all the same
                log.exception("an erasure failed, and is tried again", client_id=str(erasure.pk))
    return taken


def outlives(model: type[ClientOwned]) -> bool:
    """Does the law want these rows kept when their client is gone?"""
    client: Any = model._meta.get_field("client")
    return client.remote_field.on_delete is models.DO_NOTHING


def _erase_once(client_id: uuid.UUID) -> None:
    with client_scope(client_id):
        _staff(client_id).delete()  # the accounts; their roles go with them
        _wordy(client_id).update(name="", before={}, after={})
    for model in reversed(client_owned_models()):  # the models that refer to others come later in their app
        while not outlives(model) and _erase_rows(model, client_id):
            pass
    for eraser in _outside.values():
        eraser.erase(client_id)


def _erase_rows(model: type[ClientOwned], client_id: uuid.UUID) -> int:
    """Some of a table's rows, in a transaction of their own: what is done when a worker's time is over stays done."""
    with client_scope(client_id):
        keys = list(model._default_manager.order_by("pk").values_list("pk", flat=True)[:ROWS])
        model._default_manager.filter(pk__in=keys).delete()
    return len(keys)


def holdings(client_id: uuid.UUID) -> Counts:
    """How much there is of a client that goes with it: rows of every table, and what lies outside."""
    rows = {model._meta.label: _rows(model, client_id) for model in client_owned_models() if not outlives(model)}
    with client_scope(client_id):
        rows["staff accounts"], rows["words in the audit"] = _staff(client_id).count(), _wordy(client_id).count()
    return rows | {name: eraser.count(client_id) for name, eraser in _outside.items()}


def _staff(client_id: uuid.UUID) -> Any:
    """Accounts of people who work for this client alone."""
    roles = StaffMember.objects.filter(client=client_id)
    return get_user_model().objects.filter(pk__in=roles.values("user_id"), is_superuser=False)


def _wordy(client_id: uuid.UUID) -> models.QuerySet[AuditEvent]:
    """Audit rows about the client that say more than who, when and which row."""
    return AuditEvent.objects.filter(~Q(name="") | ~Q(before={}) | ~Q(after={}), client_id=client_id)


def _erase_keys(patterns: tuple[str, ...], client_id: uuid.UUID) -> None:
    redis_keys.erase(client_id, *patterns)


def _rows(model: type[ClientOwned], client_id: uuid.UUID) -> int:
    with client_scope(client_id):
        return model._default_manager.count()
