"""Acme, whose data is under attack, and everybody who attacks it."""

import uuid
from dataclasses import dataclass

from django.conf import settings

from chat.models import Message, Session
from knowledge.models import Chunk, Document, DocumentVersion
from tenants import keys
from tenants.models import Client
from tenants.scoping import client_scope
from tests.isolation.rows import furnish

Ids = dict[str, str]


@dataclass
class World:
    """Acme's data is under attack; the stranger attacks with keys of its own. Paul is paused."""

    acme: Client
    stranger: Client
    foreign: Ids
    absent: Ids
    callers: dict[str, dict[str, str]]
    own: dict[str, dict[str, str]]


def ids_of(client: Client) -> Ids:
    """Furnish a client and name the ids that callers may learn of."""
    rows = furnish(client)
    with client_scope(client.pk):
        Document.objects.update(latest=rows[DocumentVersion], live=rows[DocumentVersion])
        Message.objects.update(role="assistant", outcome="answered")
        Session.objects.update(staff_user="")  # whoever has not been seen for years is taken off it at some moment
        rows = {model: model._default_manager.get(pk=row.pk) for model, row in rows.items()}
    return {
        "client": str(client.pk),
        "document": rows[Document].external_id,
        "document row": str(rows[Document].pk),
        "chunk": str(rows[Chunk].pk),
        "session": str(rows[Session].session_id),
        "trace": str(rows[Message].trace_id),
    }


def build(acme: Client, stranger: Client) -> World:
    paused = Client.objects.create(name="Paul", tier=Client.Tier.PAID, status=Client.Status.PAUSED)
    foreign = ids_of(acme)
    ids_of(stranger)
    absent = {
        "client": str(uuid.uuid4()),
        "document": f"canary{uuid.uuid4().hex[:12]}-7",
        "document row": str(10**9 + 7),
        "chunk": str(uuid.uuid4()),
        "session": str(uuid.uuid4()),
        "trace": str(uuid.uuid4()),
    }
    internal = {"X-Internal-Secret": settings.INTERNAL_API_SECRET}
    unknown = keys.mint(stranger.pk, "publishable")
    keys.revoke(unknown[0])
    callers = {
        "nobody": {},
        "wrong publishable key": {"X-Api-Key": unknown[1]},
        "malformed key": {"X-Api-Key": "pk_live_" + "x" * 38},
        "wrong secret key": {"Authorization": "Bearer sk_live_" + "x" * 38},
        "wrong internal secret": {"X-Internal-Secret": "x" * 40},
        "paused publishable key": {"X-Api-Key": keys.mint(paused.pk, "publishable")[1]},
        "paused secret key": {"Authorization": f"Bearer {keys.mint(paused.pk, 'secret', scopes=keys.SCOPES)[1]}"},
        "stranger's publishable key": {"X-Api-Key": keys.mint(stranger.pk, "publishable")[1]},
        "stranger's secret key": {"Authorization": f"Bearer {keys.mint(stranger.pk, 'secret', scopes=keys.SCOPES)[1]}"},
        "internal for the stranger": internal,
    }
    own = {
        "publishable": {"X-Api-Key": keys.mint(acme.pk, "publishable")[1]},
        "secret": {"Authorization": f"Bearer {keys.mint(acme.pk, 'secret', scopes=keys.SCOPES)[1]}"},
        "internal": internal,
    }
    return World(acme, stranger, foreign, absent, callers, own)
