"""Whose rows may be touched now.

A client-owned row can be read or written only inside `client_scope(client_id)`; without a scope every
query raises. `unscoped("reason")` is the one way round. Both open a transaction: a scope is the unit of
work on rows, so it is entered in synchronous code, briefly, and never around a `yield` or an outside call.
"""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import models, transaction


class NoClientInScope(RuntimeError):
    """A client-owned row was asked for with no client in scope."""


class WrongClient(PermissionDenied):
    """A row of one client was about to be written in the scope of another."""


class _Everyone:
    """The scope that `unscoped` opens; its reason shows in a debugger."""

    def __init__(self, reason: str):
        self.reason = reason


_scope: ContextVar[uuid.UUID | _Everyone | None] = ContextVar("client_scope", default=None)


@contextmanager
def client_scope(client_id: uuid.UUID | str) -> Iterator[uuid.UUID]:
    """Work on one client's rows, in one transaction. A scope of another client can't be nested in it."""
    client_id = client_id if isinstance(client_id, uuid.UUID) else uuid.UUID(str(client_id))
    outer = _scope.get()
    if isinstance(outer, uuid.UUID) and outer != client_id:
        raise WrongClient("another client is in scope")
    with _entered(client_id):
        yield client_id


@contextmanager
def unscoped(reason: str) -> Iterator[None]:
    """Work across clients, in one transaction. `reason` says why in words; a test lists every use."""
    if len(reason.split()) < 3:
        raise ValueError("say in words why no client is in scope")
    with _entered(_Everyone(reason)):
        yield


@contextmanager
def _entered(scope: uuid.UUID | _Everyone) -> Iterator[None]:
    token = _scope.set(scope)
    try:
        with transaction.atomic():
            yield
    finally:
        _scope.reset(token)


def current_client() -> uuid.UUID | None:
    """The client in scope, or None inside `unscoped`; raises NoClientInScope outside both."""
    scope = _scope.get()
    if scope is None:
        raise NoClientInScope("no client in scope: enter client_scope(client_id) first")
    return None if isinstance(scope, _Everyone) else scope


class ScopedQuerySet(models.QuerySet):
    """Writes of many rows at once check what `save()` checks for one."""

    def create(self, **values: Any) -> Any:
        _default_client(self.model, values)
        return super().create(**values)

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        objs = list(objs)
        for obj in objs:
            obj.check_client()
        return super().bulk_create(objs, *args, **kwargs)

    def bulk_update(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        objs = list(objs)
        for obj in objs:
            obj.check_client()
        return super().bulk_update(objs, *args, **kwargs)

    def update(self, **values: Any) -> int:
        if {"client", "client_id"} & values.keys():
            raise WrongClient("a row never moves to another client")
        for value in values.values():
            _check_related(value)
        return super().update(**values)

    def raw(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("raw SQL on client-owned rows would bypass the scope")


class ScopedManager(models.Manager.from_queryset(ScopedQuerySet)):  # type: ignore[misc]
    """Filters by the client in scope; raises without one, whatever is asked."""

    use_in_migrations = False

    def get_queryset(self) -> Any:
        client_id = current_client()
        rows = super().get_queryset()
        return rows if client_id is None else rows.filter(client_id=client_id)


class ClientOwned(models.Model):
    """Base of every row that belongs to a client. No join leads from Client to it (`related_name="+"`)."""

    client = models.ForeignKey("tenants.Client", on_delete=models.CASCADE, related_name="+")

    objects = ScopedManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"
        default_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.check_client()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        self.check_client()
        return super().delete(*args, **kwargs)

    def check_client(self) -> None:
        """Take the client in scope when none is set; refuse another's row and foreign keys into another's rows."""
        scope = current_client()
        if self.client_id is None and scope is not None:
            self.client_id = scope
        if scope is not None and self.client_id != scope:
            raise WrongClient(f"{type(self).__name__} belongs to another client")
        for field in self._meta.concrete_fields:
            if field.is_relation and field.is_cached(self):
                related = field.get_cached_value(self)
                if isinstance(related, ClientOwned) and related.client_id != self.client_id:
                    raise WrongClient(f"{type(self).__name__}.{field.name} belongs to another client")


def _default_client(model: type[models.Model], values: dict[str, Any]) -> None:
    scope = current_client()
    if scope is not None and "client" not in values and "client_id" not in values:
        values["client_id"] = scope


def _check_related(value: Any) -> None:
    scope = current_client()
    if scope is not None and isinstance(value, ClientOwned) and value.client_id != scope:
        raise WrongClient("the value belongs to another client")
