"""Deleting a client: everything of it is erased, and a receipt says so.

Rows are found from the models. What lies elsewhere (vectors, files, caches) is erased by functions that the
apps above register when they start. The books outlive their client: a model whose `client` is DO_NOTHING
stays, and holds figures only.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from tenants.models import Client, Erasure
from tenants.policies import client_owned_models
from tenants.scoping import ClientOwned, client_scope

PASSES = 3  # a request or job that was under way may write once more after its rows were erased
Counts = dict[str, int]


class ErasureIncomplete(RuntimeError):
    """Something of the client is still there; the job is tried again."""


@dataclass(frozen=True)
class _Eraser:
    count: Callable[[uuid.UUID], int]
    erase: Callable[[uuid.UUID], None]


_outside: dict[str, _Eraser] = {}


def register(name: str, count: Callable[[uuid.UUID], int], erase: Callable[[uuid.UUID], None]) -> None:
    """Have something outside the database erased too; called from an app's `ready()`.

    Both functions get the client's id, no scope is open; `erase` may run twice. The receipt shows `name`.
    """
    _outside[name] = _Eraser(count, erase)


def request_erasure(client_id: uuid.UUID) -> Erasure:
    """Switch the client off for good (within 2 seconds everywhere) and note that it is to be erased."""
    with transaction.atomic():
        Client.objects.filter(pk=client_id).update(status=Client.Status.DISABLED)
        erasure, _ = Erasure.objects.get_or_create(pk=client_id, defaults={"before": {}, "after": {}})
    return erasure


def erase(client_id: uuid.UUID) -> Erasure:
    """Erase a client for which it was requested; harmless when repeated. ErasureIncomplete if something is left."""
    erasure = Erasure.objects.get(pk=client_id)
    if erasure.finished:
        return erasure
    erasure.before = erasure.before or holdings(client_id)
    erasure.save()
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
    return erasure


def run(erasure: Erasure, *, here: bool = False) -> Erasure:
    """Have a requested erasure done: by a worker, or in this process, where there is no worker or `here` says so."""
    if here or settings.EMBEDDED:
        return erase(erasure.pk)
    from django_q.tasks import async_task

    async_task("tenants.tasks.erase_client", str(erasure.pk), task_name=f"erase {erasure.pk}")
    return erasure


def outlives(model: type[ClientOwned]) -> bool:
    """Does the law want these rows kept when their client is gone?"""
    client: Any = model._meta.get_field("client")
    return client.remote_field.on_delete is models.DO_NOTHING


def _erase_once(client_id: uuid.UUID) -> None:
    with client_scope(client_id):
        for model in reversed(client_owned_models()):  # the models that refer to others come later in their app
            if not outlives(model):
                model._default_manager.all().delete()
    for eraser in _outside.values():
        eraser.erase(client_id)


def holdings(client_id: uuid.UUID) -> Counts:
    """How much there is of a client that goes with it: rows of every table, and what lies outside."""
    rows = {model._meta.label: _rows(model, client_id) for model in client_owned_models() if not outlives(model)}
    return rows | {name: eraser.count(client_id) for name, eraser in _outside.items()}


def _rows(model: type[ClientOwned], client_id: uuid.UUID) -> int:
    with client_scope(client_id):
        return model._default_manager.count()
