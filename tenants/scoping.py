"""Whose rows may be touched now.

A client-owned row can be read or written only inside `client_scope(client_id)`; without a scope every
query raises. `unscoped("reason")` is the one way round. Both open a transaction: a scope is the unit of
work on rows, so it is entered in synchronous code, briefly, and never around a `yield` or an outside call.
On PostgreSQL the database itself is told of the scope too (tenants/row_security.py). A report (tenants/reports.py)
may read another database: that one is told of the same scope, and rows are touched nowhere else meanwhile.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, ClassVar

from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db import DEFAULT_DB_ALIAS, connection, models, transaction
from django.db.models import Exists, Func, OuterRef
from django.db.models.lookups import Exact

from tenants import round_trips, row_security


class NoClientInScope(RuntimeError):
    """A client-owned row was asked for with no client in scope."""


class WrongClient(PermissionDenied):
    """A row of one client was about to be written in the scope of another."""


class OnlyReads(RuntimeError):
    """A report was about to write, or to enter a scope of its own."""


class _Everyone:
    """The scope that `unscoped` opens; its reason shows in a debugger."""

    def __init__(self, reason: str):
        self.reason = reason


_scope: ContextVar[uuid.UUID | _Everyone | None] = ContextVar("client_scope", default=None)
_report: ContextVar[str | None] = ContextVar("report", default=None)  # the database that a running report reads


@contextmanager
def client_scope(client_id: uuid.UUID | str, *, in_haste: bool = False) -> Iterator[uuid.UUID]:
    """Work on one client's rows, in one transaction. A scope of another client can't be nested in it.

    `in_haste`: somebody waits, and the block asks by tenants/statements.py (see tenants/round_trips.py).
    """
    client_id = client_id if isinstance(client_id, uuid.UUID) else uuid.UUID(str(client_id))
    outer = _scope.get()
    if isinstance(outer, uuid.UUID) and outer != client_id:
        raise WrongClient("another client is in scope")
    with _entered(client_id, in_haste):
        yield client_id


@contextmanager
def unscoped(reason: str) -> Iterator[None]:
    """Work across clients, in one transaction. `reason` says why in words; a test lists every use."""
    if len(reason.split()) < 3:
        raise ValueError("say in words why no client is in scope")
    with _entered(_Everyone(reason)):
        yield


@contextmanager
def reading(alias: str) -> Iterator[None]:
    """Reads only, of the database `alias`, in the scope that is entered; NoClientInScope without one.

    A database that isn't the usual one is told of the scope in a transaction of its own. For tenants/reports.py.
    """
    current_client()
    elsewhere = alias != DEFAULT_DB_ALIAS
    with transaction.atomic(alias) if elsewhere else nullcontext():
        if elsewhere:
            _tell_database(_scope.get(), alias)
        token = _report.set(alias)
        try:
            yield
        finally:
            _report.reset(token)


def report_database() -> str | None:
    """The database that the running report reads; None outside of reports."""
    return _report.get()


def refuse_in_report(what: str) -> None:
    if _report.get() is not None:
        raise OnlyReads(f"a report only reads, in the scope that it began in: {what}")


@contextmanager
def _entered(scope: uuid.UUID | _Everyone, in_haste: bool = False) -> Iterator[None]:
    refuse_in_report("it can't enter another")
    outer = _scope.get()
    told_already = connection.in_atomic_block and _for_database(outer) == _for_database(scope)
    saves = in_haste and connection.vendor == "postgresql" and not connection.in_atomic_block
    with transaction.atomic(), round_trips.saved() if saves else nullcontext():
        if not told_already:
            _tell_database(scope)
        token = _scope.set(scope)
        try:
            yield
        finally:
            _scope.reset(token)  # before the commit, so that on_commit hooks run in no scope that is gone
    if not told_already and connection.in_atomic_block:
        _tell_database(outer)  # a rollback has done so already, which is why this isn't in a `finally`


def _for_database(scope: uuid.UUID | _Everyone | None) -> str | None:
    if isinstance(scope, _Everyone):
        return row_security.EVERYONE
    return str(scope) if scope else None


def _tell_database(scope: uuid.UUID | _Everyone | None, alias: str = DEFAULT_DB_ALIAS) -> None:
    if connection.vendor != "postgresql":
        return
    told = _for_database(scope)
    if told is None:
        row_security.close_scope()
    else:
        row_security.open_scope(told, alias)


def current_client() -> uuid.UUID | None:
    """The client in scope, or None inside `unscoped`; raises NoClientInScope outside both."""
    scope = _scope.get()
    if scope is None:
        raise NoClientInScope("no client in scope: enter client_scope(client_id) first")
    return None if isinstance(scope, _Everyone) else scope


def is_entered() -> bool:
    """Is there a scope: one client's, or everyone's?"""
    return _scope.get() is not None


class InScope(Func):
    """The condition "this row's client is in scope", decided when the query is run, not when it is written:
    a queryset that outlives its scope raises, or shows the rows of the scope it is used in."""

    output_field = models.BooleanField()
    conditional = True

    def __init__(self, client_id: Any = "client_id"):
        super().__init__(client_id)

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        client_id = current_client()
        if connection.alias != (_report.get() or DEFAULT_DB_ALIAS):
            raise NoClientInScope(f"the scope is not entered in the database {connection.alias}")
        if client_id is None:
            return "1=1", []
        return compiler.compile(Exact(self.get_source_expressions()[0], client_id))


class ScopedQuerySet(models.QuerySet):
    """Writes of many rows at once check what `save()` checks for one."""

    def create(self, **values: Any) -> Any:
        _default_client(self.model, values)
        return super().create(**values)

    def bulk_create(  # type: ignore[override]
        self,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Any = None,
        unique_fields: Any = None,
    ) -> Any:
        rows = _checked(self.model, objs)
        if update_conflicts and "client" not in (unique_fields or ()):
            raise WrongClient("the conflicting row could be another client's: name client among the unique fields")
        return super().bulk_create(rows, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields)

    def bulk_update(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        return super().bulk_update(_checked(self.model, objs), *args, **kwargs)

    def update(self, **values: Any) -> int:
        if {"client", "client_id"} & values.keys():
            raise WrongClient("a row never moves to another client")
        references = {name: value for name, value in values.items() if _names_owned_row(self.model, name)}
        computed = [name for name, value in references.items() if hasattr(value, "resolve_expression")]
        plain = {name: value for name, value in references.items() if name not in computed}
        client_id = current_client()
        if plain and client_id is not None:
            check_references([self.model(client_id=client_id, **plain)])  # type: ignore[list-item]
        if not computed or connection.vendor == "postgresql":
            return super().update(**values)
        with transaction.atomic():
            changed = super().update(**values)
            _refuse_strays(self.model, computed)
        return changed

    def _insert(self, objs: Any, *args: Any, **kwargs: Any) -> Any:
        """What every insertion comes to, by `save_base()` too, which fixtures use."""
        for row in objs:
            _check_owner(row)
        return super()._insert(objs, *args, **kwargs)  # type: ignore[misc]

    def _update(self, values: Any) -> int:
        """Likewise for what a row's own saving changes."""
        for field, _, value in values:
            if field.name == "client":
                _refuse_other(self.model, value)
        return super()._update(values)  # type: ignore[misc]

    def raw(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("raw SQL on client-owned rows would bypass the scope")

    def extra(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("raw SQL on client-owned rows could bypass the scope")


class ScopedManager(models.Manager.from_queryset(ScopedQuerySet)):  # type: ignore[misc]
    """Filters by the client in scope; raises without one, whatever is asked."""

    use_in_migrations = False
    _scoped: tuple[Any, Any] | None = None  # a database and the queryset for it, which is the costly part of a query

    def get_queryset(self) -> Any:
        current_client()
        if self._hints:  # an instance's own manager lives as long as one query
            return super().get_queryset().filter(InScope())
        if self._scoped is None or self._scoped[0] != self._db:
            self._scoped = self._db, super().get_queryset().filter(InScope())
        return self._scoped[1].all()


class ClientOwned(models.Model):
    """Base of every row that belongs to a client. No join leads from Client to it (`related_name="+"`)."""

    write_once: ClassVar[bool] = False  # its rows are never changed

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
        # Django deletes by the key alone, which may be of another client's row, whoever's this one says it is.
        if self.pk is not None and connection.vendor != "postgresql" and not self._is_there():
            return 0, {}
        return super().delete(*args, **kwargs)

    def _is_there(self) -> bool:
        return type(self)._base_manager.filter(pk=self.pk).exists()

    def check_client(self) -> None:
        """Take the client in scope when none is set; refuse another's row and foreign keys into another's rows."""
        _check_owner(self)
        check_references([self])


def check_references(rows: Sequence[ClientOwned]) -> None:
    """WrongClient if a foreign key of `rows`, all of one model, leads to a row of another client.

    Loaded rows are compared everywhere. Bare ids cost a query for each foreign key on SQLite; on PostgreSQL
    the composite foreign keys refuse them, at the latest when the transaction commits.
    """
    for field in rows[0]._meta.concrete_fields if rows else ():
        if not _names_owned_row(type(rows[0]), field.name):
            continue
        if any(hasattr(getattr(row, field.attname), "resolve_expression") for row in rows):
            raise WrongClient(f"{type(rows[0]).__name__}.{field.name} is saved as a value, which can be looked up")
        loaded = [(row, row._state.fields_cache.get(field.name)) for row in rows]
        if any(related is not None and related.client_id != row.client_id for row, related in loaded):
            raise WrongClient(f"{type(rows[0]).__name__}.{field.name} belongs to another client")
        if connection.vendor != "postgresql":
            _look_up(
                field, {(getattr(row, field.attname), row.client_id) for row, related in loaded if related is None}
            )


def _look_up(field: Any, references: set[tuple[Any, uuid.UUID]]) -> None:
    ids = {pk for pk, _ in references if pk is not None}
    if ids:
        owned = set(field.related_model._base_manager.filter(pk__in=ids).values_list("pk", "client_id"))
        if any(pk in ids and (pk, client_id) not in owned for pk, client_id in references):
            raise WrongClient(f"{field.model.__name__}.{field.name} belongs to another client")


def _refuse_strays(model: type[models.Model], names: list[str]) -> None:
    """WrongClient if a row in scope leads to one that is not, by a foreign key that the database has computed."""
    for name in names:
        field: Any = model._meta.get_field(name.removesuffix("_id"))
        owned = field.related_model._base_manager.filter(pk=OuterRef(field.attname), client_id=OuterRef("client_id"))
        if model._base_manager.filter(~Exists(owned), **{f"{field.name}__isnull": False}).exists():
            raise WrongClient(f"{model.__name__}.{field.name} belongs to another client")


def _names_owned_row(model: type[models.Model], name: str) -> bool:
    """Is `name` a foreign key of `model` (or its column) to a client-owned model?"""
    try:
        target = model._meta.get_field(name.removesuffix("_id")).related_model
    except FieldDoesNotExist:
        return False
    return isinstance(target, type) and issubclass(target, ClientOwned)


def _checked(model: type[models.Model], objs: Iterable[Any]) -> list[Any]:
    current_client()
    rows = list(objs)
    for row in rows:
        _check_owner(row)
    check_references(rows)
    return rows


def _check_owner(row: ClientOwned) -> None:
    scope = current_client()
    if row.client_id is None and scope is not None:
        row.client_id = scope
    _refuse_other(type(row), row.client_id)


def _refuse_other(model: type[models.Model], client_id: uuid.UUID) -> None:
    scope = current_client()
    if scope is not None and client_id != scope:
        raise WrongClient(f"{model.__name__} belongs to another client")


def _default_client(model: type[models.Model], values: dict[str, Any]) -> None:
    scope = current_client()
    if scope is not None and "client" not in values and "client_id" not in values:
        values["client_id"] = scope
