"""Everything held of a client, as JSON in pieces, so that its size needs no memory.

Rows are found from the models. What lies elsewhere (files) is added by functions that the apps above register when
they start. Keys' digests, which would help nobody but a thief, are left out.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from tenants import reports
from tenants.models import Client
from tenants.policies import client_owned_models
from tenants.scoping import ClientOwned, client_scope

BATCH = 20  # rows; a document's text may have 5 million characters
LEFT_OUT = {"client", "digest", "request_hash"}
Pieces = Callable[[uuid.UUID], Iterator[str]]

_outside: dict[str, Pieces] = {}


def register(name: str, pieces: Pieces) -> None:
    """Add a member `name` to the export; `pieces(client_id)` yields its JSON, with no scope open."""
    _outside[name] = pieces


def pieces(client: Client) -> Iterator[str]:
    """The JSON of a client: what is known of it, its rows by model, and what is registered."""
    began = reports.position()
    yield f'{{"exported":{as_json(timezone.now())},"client":{as_json(as_dict(client))},"rows":{{'
    for number, model in enumerate(client_owned_models()):
        yield f"{',' if number else ''}{as_json(camel(model.__name__))}:"
        yield from array(batch for batch in _batches(model, client.pk, began))
    yield "}"
    for name, more in _outside.items():
        yield f",{as_json(name)}:"
        yield from more(client.pk)
    yield "}"


def array(batches: Iterator[list[dict[str, Any]]]) -> Iterator[str]:
    """A JSON array of what comes in batches, a piece each."""
    comma = "["
    for batch in batches:
        if batch:
            yield comma + ",".join(map(as_json, batch))
            comma = ","
    yield "[]" if comma == "[" else "]"


def as_dict(row: Any) -> dict[str, Any]:
    """A row's fields in the API's spelling; a foreign key is its id."""
    fields = [field for field in row._meta.concrete_fields if field.name not in LEFT_OUT]
    return {camel(field.attname): field.value_from_object(row) for field in fields}


def as_json(value: Any) -> str:
    return json.dumps(value, cls=_Encoder, ensure_ascii=False)


def camel(name: str) -> str:
    """`allowed_domains` and `AllowedDomains` are `allowedDomains`."""
    name = re.sub(r"_(\w)", lambda found: found[1].upper(), name)
    return name[0].lower() + name[1:]


class _Encoder(DjangoJSONEncoder):
    def default(self, value: Any) -> Any:
        if isinstance(value, bytes | memoryview):
            return base64.b64encode(value).decode()
        return value.name if hasattr(value, "storage") else super().default(value)  # a stored file's name


def _batches(model: type[ClientOwned], client_id: uuid.UUID, began: str | None) -> Iterator[list[dict[str, Any]]]:
    """Each in a scope and transaction of its own, from wherever all is known that there was when the export `began`."""
    last = None
    while True:
        with client_scope(client_id):
            batch = reports.read_since(began, _batch, model, last)
        if not batch:
            return
        yield [as_dict(row) for row in batch]
        last = batch[-1].pk


def _batch(model: type[ClientOwned], last: Any) -> list[Any]:
    rows = model._default_manager.order_by("pk")
    return list((rows if last is None else rows.filter(pk__gt=last))[:BATCH])
