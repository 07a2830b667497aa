"""The admin's memory of who did what: append-only rows, written in the transaction of the change itself."""

import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.forms.models import model_to_dict
from django.http import HttpRequest

from tenants import keys, staff
from tenants.addresses import client_address
from tenants.models import AuditEvent, Client
from tenants.scoping import ClientOwned, is_entered

LONGEST = 500  # characters kept of a value
SECRETS = {"password", "digest", "key", "secret"}
CONTENT = {"text", "comment", "body"}  # what visitors wrote and documents say is not the audit's to keep


def note(
    request: HttpRequest,
    action: str,
    about: models.Model | str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    client_id: uuid.UUID | None = None,
) -> AuditEvent:
    """Write one row: the request's user did `action` to a row, or on a page. Values that stayed alike are left out.

    It is about `client_id`, else the row's client, else the one that the person is confined to.
    """
    event = _event(request, action, about, before or {}, after or {}, client_id)
    with _scope(request.user):
        event.save()
    return event


def note_each(request: HttpRequest, action: str, rows: Iterable[models.Model], after: dict[str, Any]) -> None:
    """Write one row for each of many rows that become alike in some values."""
    events = []
    for row in rows:
        before = {name: _plain(getattr(row, name)) for name in after}
        events.append(_event(request, action, row, before, after, None))
    with _scope(request.user):
        AuditEvent.objects.bulk_create(events, batch_size=500)


def _scope(user: Any) -> AbstractContextManager[Any]:
    """The scope that is there already, which saves every page a savepoint's two round trips; else the person's."""
    return nullcontext() if is_entered() else staff.scope(user)


def _event(
    request: HttpRequest,
    action: str,
    about: models.Model | str,
    before: dict[str, Any],
    after: dict[str, Any],
    client_id: uuid.UUID | None,
) -> AuditEvent:
    before, after = changed(before, after)
    row = None if isinstance(about, str) else about
    request.audited = True  # type: ignore[attr-defined]
    return AuditEvent(
        actor=actor_of(request),
        address=address_of(request),
        action=action,
        client_id=client_id or (owner(row) if row else None) or staff.only_client(request.user),
        object=f"{row._meta.label}:{row.pk}" if row else keys.struck_out(str(about))[:LONGEST],
        name=str(row)[:200] if row and not CONTENT & {field.name for field in row._meta.fields} else "",
        before=before,
        after=after,
    )


def snapshot(row: models.Model) -> dict[str, Any]:
    """A row's values as the audit keeps them: no secrets, no content, long texts cut."""
    values = model_to_dict(row)
    return {name: _plain(value) for name, value in values.items() if name not in SECRETS | CONTENT}


def changed(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without the values that are alike in them."""
    alike = {name for name in before.keys() & after.keys() if before[name] == after[name]}
    return tuple({k: v for k, v in side.items() if k not in alike} for side in (before, after))  # type: ignore[return-value]


def owner(row: models.Model) -> uuid.UUID | None:
    """The client that a row is, or belongs to."""
    if isinstance(row, Client):
        return row.pk
    return row.client_id if isinstance(row, ClientOwned) else getattr(row, "client_id", None)


def actor_of(request: HttpRequest) -> str:
    user = getattr(request, "user", None) or AnonymousUser()
    return user.get_username() or "nobody"


def address_of(request: HttpRequest) -> str:
    return client_address(request.META.get("REMOTE_ADDR"), {k.lower(): v for k, v in request.headers.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, models.Model):
        return str(value.pk)
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return str(value)[:LONGEST]
