"""What must be true of the rows at every moment, whatever died or failed in between: the parts that hold for every app.

Each app has an `invariants.py` with up to three lists of checks; `manage.py check_invariants` runs them all:

    ROWS      called inside one client's scope, in one snapshot of the database
    OUTSIDE   called with a client's id and no scope: rows compared with vectors, files, Redis
    OVERALL   called once, in no scope: what no single client's rows can show
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Count, Exists, OuterRef
from django.utils import timezone

from tenants import erasure
from tenants.models import ApiKey, Client, Erasure
from tenants.policies import client_owned_models
from tenants.scoping import ClientOwned, client_scope, unscoped

ERASURE_PATIENCE = timedelta(hours=1)


@dataclass(frozen=True, order=True)
class Violation:
    """Something that must never be. `object` is an id, never content."""

    code: str
    client_id: str
    object: str

    def __str__(self) -> str:
        return f"{self.code} client={self.client_id or '-'} object={self.object or '-'}"


Found = Iterator[tuple[str, Any]]  # of ROWS and OUTSIDE: (code, object id); the client is known
RowCheck = Callable[[], Found]
OutsideCheck = Callable[[uuid.UUID], Found]
OverallCheck = Callable[[], Iterator[Violation]]


@contextmanager
def frozen() -> Iterator[None]:
    """One transaction in which every query sees the same moment. (On SQLite nobody writes meanwhile.)"""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def check_rows(client_id: uuid.UUID, checks: list[RowCheck]) -> Iterator[Violation]:
    """Run ROWS checks on one client."""
    with frozen(), client_scope(client_id):
        found = [pair for check in checks for pair in check()]
    for code, object in found:
        yield Violation(code, str(client_id), str(object))


def check_outside(client_id: uuid.UUID, checks: list[OutsideCheck]) -> Iterator[Violation]:
    """Run OUTSIDE checks on one client."""
    for check in checks:
        for code, object in check(client_id):
            yield Violation(code, str(client_id), str(object))


def _references() -> Found:
    """A foreign key leads to a row of the same client. (Another's row is not seen from here, so it looks missing.)"""
    for model in client_owned_models():
        for field in model._meta.concrete_fields:
            target: Any = field.related_model
            if isinstance(field, models.ForeignKey) and issubclass(target, ClientOwned):
                seen = target._default_manager.filter(pk=OuterRef(field.attname))
                rows = model._default_manager.exclude(**{field.attname: None}).filter(~Exists(seen))
                for pk in rows.order_by("pk").values_list("pk", flat=True):
                    yield "reference-to-another-client", f"{model._meta.label}.{field.name}:{pk}"


def _digests() -> Iterator[Violation]:
    """No two keys are found by one digest."""
    with unscoped("a key's digest is unique over all clients"):
        doubled = ApiKey.objects.values("digest").annotate(keys=Count("pk")).filter(keys__gt=1).values("digest")
        rows = ApiKey.objects.filter(digest__in=doubled.order_by()).order_by("pk").values_list("client_id", "pk")
        found = list(rows)
    yield from (Violation("key-digest-not-unique", str(client_id), f"tenants.ApiKey:{pk}") for client_id, pk in found)


def _owners() -> Iterator[Violation]:
    """Rows belong to a client that there is; the books may outlive theirs if a receipt of its erasure says so."""
    for model in client_owned_models():
        known = Client.objects.filter(pk=OuterRef("client_id"))
        erased = Erasure.objects.filter(pk=OuterRef("client_id"), finished__isnull=False)
        with unscoped("rows of no client belong to nobody's scope"):
            orphans = model._default_manager.filter(~Exists(known))
            if erasure.outlives(model):
                orphans = orphans.filter(~Exists(erased))
            found = list(orphans.order_by("pk").values_list("client_id", "pk")[:100])
        yield from (Violation("row-of-no-client", str(owner), f"{model._meta.label}:{pk}") for owner, pk in found)


def _erasures() -> Iterator[Violation]:
    """What was to be erased is erased, and nothing of it has come back."""
    late = Erasure.objects.filter(finished=None, requested__lt=timezone.now() - ERASURE_PATIENCE)
    for pk in late.values_list("pk", flat=True):
        yield Violation("erasure-not-finished", str(pk), "")
    for pk in Erasure.objects.exclude(finished=None).order_by("pk").values_list("pk", flat=True):
        for name, count in erasure.holdings(pk).items():
            if count:
                yield Violation("erased-data-is-back", str(pk), name.replace(" ", "-"))


ROWS: list[RowCheck] = [_references]
OUTSIDE: list[OutsideCheck] = []
OVERALL: list[OverallCheck] = [_digests, _owners, _erasures]
