"""The few statements that run for every question, as SQL that is composed once.

The ORM composes a query anew each time it is run, for a quarter to half a millisecond of CPU; these are composed from
the same models once and take a tenth of that, and PostgreSQL plans them once a connection instead of each time, with
its policies (`prepare_threshold` in the settings). They know equality only, and no joins. The client in scope is part
of every condition and every row; a foreign key is looked up among its rows; values pass the models' fields. The
policies hold underneath, as for all SQL.
"""

import functools
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, models
from django.utils import timezone

from tenants import round_trips
from tenants.models import Client
from tenants.scoping import ClientOwned, WrongClient, current_client, refuse_in_report

Model = type[models.Model]
ONE_MORE = object()  # in place of a new value in `update`: one more than the number there is


def select(model: Model, names: Sequence[str], **where: Any) -> list[tuple[Any, ...]]:
    """The fields `names` of the rows that `where` describes: fields by name, each with a value or a list of values."""
    conditions, values = _where(model, where)
    rows = by_hand(f"SELECT {_columns(model, names)} FROM {_table(model)} WHERE {conditions}", values)
    return [_read(model, tuple(names), row) for row in rows]


def look_up(model: Model, name: str, **where: Any) -> Any:
    """The field `name` of the one row that `where` describes; None when there is none."""
    found = select(model, (name,), **where)
    return found[0][0] if found else None


def part(model: Model, name: str, start: int, end: int, **where: Any) -> str:
    """The characters from `start` to before `end` of a text field; empty when there is no such row."""
    conditions, values = _where(model, where)
    text = f"substr({_columns(model, (name,))}, %s, %s)"
    rows = by_hand(f"SELECT {text} FROM {_table(model)} WHERE {conditions}", [start + 1, end - start, *values])
    return rows[0][0] if rows else ""


def insert(model: type[ClientOwned], *rows: Mapping[str, Any], ignore_conflicts: bool = False) -> list[Any]:
    """Write rows; fields that are not given have their defaults. The keys of what was written."""
    sql, values = _insertion_of(model, rows, ignore_conflicts)
    return [key for (key,) in by_hand(f"{sql} RETURNING {_quoted(_key(model).column)}", values)]


def write(model: type[ClientOwned], *rows: Mapping[str, Any], ignore_conflicts: bool = False) -> None:
    """`insert`, where nobody asks for the keys."""
    with _executed(*_insertion_of(model, rows, ignore_conflicts)):
        pass


def insert_many(model: type[ClientOwned], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that all give the same fields: as one parameter of JSON, in a fifth of the time that the ORM takes.

    Their values are of JSON's own types, or UUIDs; what they don't give must be empty by itself.
    """
    if not rows:
        return
    client_id, names = _client(), tuple(rows[0])
    for row in rows:
        _refuse_others(model, row, client_id)
    ours = _stored(_owner(model), client_id)
    references = [ours for name in names if _is_reference(_field(model, name))]
    data = json.dumps(rows, ensure_ascii=False, default=_in_json)
    with _executed(_insertion_of_many(model, names, connection.vendor), [ours, *references, data]):
        pass


def update(model: Model, changes: Mapping[str, Any], **where: Any) -> int:
    """Change the rows that `where` describes; how many there were. A foreign key is given as its loaded row."""
    with round_trips.waited_for():
        changed = update_unseen(model, changes, **where)
    return changed()


def update_unseen(model: Model, changes: Mapping[str, Any], **where: Any) -> Callable[[], int]:
    """`update`; how many there were can be asked when the transaction has ended, and not before."""
    _refuse_write_once(model)
    _refuse_others(model, changes, _client())
    conditions, values = _where(model, where)
    assigned = [_assignment(_field(model, name), value) for name, value in changes.items()]
    assignments = ", ".join(assignment for assignment, _ in assigned)
    new = [value for _, given in assigned for value in given]
    with _executed(f"UPDATE {_table(model)} SET {assignments} WHERE {conditions}", [*new, *values]) as cursor:
        now = cursor.rowcount  # closing a cursor forgets it
    return lambda: now if now >= 0 else cursor.rowcount  # below zero: under way


def take(model: type[ClientOwned], *names: str, **where: Any) -> tuple[Any, ...] | None:
    """Delete the one row that `where` describes and return its fields `names`. Of two who ask at once one gets it."""
    _refuse_write_once(model)
    conditions, values = _where(model, where)
    rows = by_hand(f"DELETE FROM {_table(model)} WHERE {conditions} RETURNING {_columns(model, names)}", values)
    return _read(model, names, rows[0]) if rows else None


def _client() -> uuid.UUID:
    client_id = current_client()
    if client_id is None:
        raise NotImplementedError("these statements work on one client's rows: enter client_scope(client_id)")
    return client_id


def by_hand(sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    """What a statement returns that the models can't compose; its values are as the database has them."""
    with _executed(sql, values) as cursor:
        return cursor.fetchall()


@contextmanager
def _executed(sql: str, values: list[Any]) -> Iterator[Any]:
    """A cursor with what the statement returned."""
    with connection.wrap_database_errors, _cursor() as cursor:
        cursor.execute(sql, values)
        yield cursor


def _cursor() -> Any:
    """Where statements are not watched (as in tests that count them), psycopg's own: Django's puts the values into
    the text, which PostgreSQL then has to plan anew. None of them is for reports, and some of them write."""
    refuse_in_report("this statement goes to the primary")
    if connection.vendor != "postgresql" or connection.queries_logged:
        return connection.cursor()
    from psycopg import Cursor  # on SQLite it is never loaded

    connection.validate_no_broken_transaction()
    return Cursor(connection.connection)


def _assignment(field: Any, value: Any) -> tuple[str, list[Any]]:
    column = _quoted(field.column)
    if value is ONE_MORE:
        return f"{column} = {column} + 1", []
    if _is_reference(field):
        if not isinstance(value, ClientOwned):
            raise NotImplementedError("foreign keys are changed by the ORM, which looks where they lead")
        if value.client_id != _client():
            raise WrongClient(f"{field.name} belongs to another client")
        value = value.pk
    return f"{column} = %s", [_stored(field, value)]


def _where(model: Model, where: Mapping[str, Any]) -> tuple[str, list[Any]]:
    conditions = [f"{_quoted(_owner(model).column)} = %s"]
    values = [_stored(_owner(model), _client())]
    for name, value in where.items():
        field = _field(model, name)
        several = value if isinstance(value, list) else [value]
        conditions.append(f"{_quoted(field.column)} IN ({', '.join(['%s'] * len(several))})")
        values += [_stored(field, each) for each in several]
    return " AND ".join(conditions), values


def _insertion_of(
    model: type[ClientOwned], rows: Sequence[Mapping[str, Any]], ignore_conflicts: bool
) -> tuple[str, list[Any]]:
    client_id, keyed = _client(), _key(model).name in rows[0]
    values = [value for row in rows for value in _row_values(model, row, client_id, keyed)]
    return _insertion(model, len(rows), keyed, ignore_conflicts, connection.vendor), values


@functools.lru_cache(maxsize=64)
def _insertion(model: Model, rows: int, keyed: bool, ignore_conflicts: bool, vendor: str) -> str:
    fields = _written(model, keyed)
    row = ", ".join(_own_row(field) if _is_reference(field) else "%s" for field in fields)
    columns = ", ".join(_quoted(field.column) for field in fields)
    conflict = " ON CONFLICT DO NOTHING" if ignore_conflicts else ""
    values = ", ".join([f"({row})"] * rows)
    return f"INSERT INTO {_table(model)} ({columns}) VALUES {values}{conflict}"


@functools.lru_cache(maxsize=64)
def _insertion_of_many(model: Model, names: tuple[str, ...], vendor: str) -> str:
    fields = [_field(model, name) for name in names]
    columns = ", ".join(_quoted(field.column) for field in (_owner(model), *fields))
    given = [_given(field, vendor) for field in fields]
    values = [_own_row(f, value) if _is_reference(f) else value for f, value in zip(fields, given, strict=True)]
    source = "json_each(%s)"
    if vendor == "postgresql":
        types = ", ".join(f"{_quoted(field.name)} {field.db_type(connection)}" for field in fields)
        source = f"json_to_recordset(%s::json) AS given ({types})"
    return f"INSERT INTO {_table(model)} ({columns}) SELECT %s, {', '.join(values)} FROM {source}"


def _given(field: Any, vendor: str) -> str:
    """A field's value in one of the rows that are given as JSON."""
    if vendor == "postgresql":
        return f"given.{_quoted(field.name)}"
    value = f"json_extract(value, '$.{field.name}')"
    return f"json_quote({value})" if isinstance(field, models.JSONField) else value


def _in_json(value: Any) -> str:
    """UUIDs are told without hyphens, as SQLite keeps them."""
    if isinstance(value, uuid.UUID):
        return value.hex
    raise TypeError(f"JSON has no {type(value).__name__}")


def _own_row(field: Any, key_given: str = "%s") -> str:
    """The row that a foreign key leads to, if it is the client's; else NULL, which no such column takes."""
    target = field.related_model
    key, owner = _quoted(_key(target).column), _quoted(_owner(target).column)
    return f"(SELECT {key} FROM {_table(target)} WHERE {key} = {key_given} AND {owner} = %s)"


@functools.cache
def _written(model: Model, keyed: bool) -> tuple[Any, ...]:
    """The fields of a new row; a key that the database numbers only if it is given."""
    return tuple(f for f in model._meta.concrete_fields if keyed or not isinstance(f, models.AutoField))


def _row_values(model: Model, row: Mapping[str, Any], client_id: uuid.UUID, keyed: bool) -> Iterator[Any]:
    _refuse_others(model, row, client_id)
    row = {"client": client_id, **row}
    for field in _written(model, keyed):
        yield _stored(field, row[field.name] if field.name in row else _default(field))
        if _is_reference(field):
            yield _stored(_owner(model), client_id)


def _default(field: Any) -> Any:
    dated = getattr(field, "auto_now_add", False) or getattr(field, "auto_now", False)
    return timezone.now() if dated else field.get_default()


def _refuse_others(model: Model, values: Mapping[str, Any], client_id: uuid.UUID) -> None:
    if values.get("client", client_id) != client_id or "client_id" in values:
        raise WrongClient(f"{model.__name__} belongs to another client")


def _refuse_write_once(model: Model) -> None:
    if issubclass(model, ClientOwned) and model.write_once:
        raise NotImplementedError(f"{model.__name__} is never changed")


@functools.cache
def _is_reference(field: Any) -> bool:
    """Does the field lead to a client-owned row?"""
    target = field.related_model
    return isinstance(target, type) and issubclass(target, ClientOwned)


@functools.cache
def _owner(model: Model) -> Any:
    """What says whose a row is; a client is its own."""
    return _key(model) if model is Client else _field(model, "client")


@functools.cache
def _field(model: Model, name: str) -> Any:
    return model._meta.get_field(name)


def _key(model: Model) -> Any:
    return model._meta.pk


def _stored(field: Any, value: Any) -> Any:
    return field.get_db_prep_save(value, connection)


def _read(model: Model, names: tuple[str, ...], row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(read(value) for read, value in zip(_readers(model, names, connection.vendor), row, strict=True))


@functools.lru_cache(maxsize=64)
def _readers(model: Model, names: tuple[str, ...], vendor: str) -> tuple[Callable[[Any], Any], ...]:
    return tuple(_reader(_field(model, name)) for name in names)


def _reader(field: Any) -> Callable[[Any], Any]:
    expression = field.get_col(field.model._meta.db_table)
    converters = [*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection)]
    return lambda value: functools.reduce(lambda got, convert: convert(got, expression, connection), converters, value)


def _columns(model: Model, names: Sequence[str]) -> str:
    return ", ".join(_quoted(_field(model, name).column) for name in names)


def _table(model: Model) -> str:
    return _quoted(model._meta.db_table)


def _quoted(name: Any) -> str:
    return connection.ops.quote_name(name)
