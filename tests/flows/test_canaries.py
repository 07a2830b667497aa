"""A text that is planted wherever a client's data goes is found nowhere after the client's deletion."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from psycopg import sql
from pytest_django import Settings

from billing import limits
from billing.models import UsageRecord
from chat import tapes
from chat.tapes.house import house
from knowledge.embeddings import cache as embeddings
from tenants import erasure
from tenants.models import AuditEvent, Client, StaffMember
from tenants.scoping import client_scope
from tenants.threads import in_thread
from tests.chat.conftest import fresh_limits, provider  # noqa: F401  (fixtures)
from tests.chat.conversation import chat, leaving, pieces_of
from tests.contracts.llm_server import LlmServer, openai_events, paced
from tests.contracts.qdrant_server import SmallQdrant, small_qdrant
from tests.isolation.rows import OWNED, canary, furnish
from tests.isolation.test_barriers import needs_policies, owner_connection
from tests.knowledge.ingestion import upload, work

pytestmark = [pytest.mark.django_db(transaction=True), needs_policies]


@pytest.fixture
def store(settings: Settings) -> Iterator[SmallQdrant]:
    with small_qdrant() as qdrant:
        settings.QDRANT_URL = qdrant.url
        yield qdrant


def tables_with(text: str) -> set[str]:
    """Every table of the database that holds the text anywhere, asked as its owner, whom no policy binds."""
    with owner_connection() as owner:
        names = [name for (name,) in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        holds = sql.SQL("SELECT 1 FROM {} t WHERE t::text LIKE {} LIMIT 1")
        wanted = sql.Literal(f"%{text}%")
        return {name for name in names if owner.execute(holds.format(sql.Identifier(name), wanted)).fetchone()}


def redis_with(*texts: str) -> set[str]:
    """The kinds of keys that hold one of the texts in their name or value."""
    server = redis.Redis.from_url(settings.REDIS_URL)
    read = {b"string": server.get, b"hash": server.hgetall, b"set": server.smembers, b"stream": server.xrange}
    read |= {b"zset": lambda key: server.zrange(key, 0, -1), b"list": lambda key: server.lrange(key, 0, -1)}
    contents = {key: str((key, read[server.type(key)](key))) for key in server.scan_iter()}
    found = {key for key, whole in contents.items() if any(text in whole for text in texts)}
    return {key.decode().removeprefix(":1:").partition(":")[0] for key in found}


def files_with(directory: Path, text: str) -> int:
    return sum(text.encode() in path.read_bytes() for path in directory.rglob("*") if path.is_file())


def points_with(qdrant: SmallQdrant, text: str) -> int:
    names = [collection.name for collection in qdrant.store.get_collections().collections]
    return sum(text in str(record) for name in names for record in qdrant.store.scroll(name, limit=1000)[0])


async def found(client: Client, qdrant: SmallQdrant, directory: Path) -> dict[str, Any]:
    text, id = canary(client), str(client.pk)
    return {
        "tables": await in_thread(tables_with, text),
        "redis": redis_with(text, id),
        "files": files_with(directory, text),
        "points": points_with(qdrant, id),
        "tapes": sum(tape.client_id == client.pk for tape in house().tapes.values()),
        "questions": sum(str(client.pk) in key for key in embeddings._questions._entries),
    }


def plant(client: Client, django_user_model: Any) -> None:
    """In every row that goes with its client, in its own settings, its staff, the audit, a document and a file."""
    furnish(client, [model for model in OWNED if not erasure.outlives(model)])
    text = canary(client)
    Client.objects.filter(pk=client.pk).update(instructions=text, no_answer_text=text, alert_email=f"{text}@x.example")
    member = django_user_model.objects.create_user(text, f"{text}@x.example", "p")
    with client_scope(client.pk):
        StaffMember.objects.create(user=member, role="client", client=client)
        event = {"name": text, "before": {"instructions": text}, "after": {"instructions": f"{text}!"}}
        AuditEvent.objects.create(actor="ann", action="change", client_id=client.pk, object="tenants.Client:1", **event)
    upload(client, f"The password of the lighthouse is {text}. Boots are returned within 60 days.", text)
    work()


async def test_no_canary_is_left_of_a_deleted_client(
    acme: Client,
    stranger: Client,
    acme_key: str,
    fresh_limits: None,  # noqa: F811
    provider: LlmServer,  # noqa: F811
    store: SmallQdrant,
    own_data: Path,
    settings: Settings,
    django_user_model: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erasure, "SETTLE", timedelta(seconds=2))
    monkeypatch.setattr(tapes, "HEARTBEAT", 0.2)
    settings.ADDRESS_REQUESTS_PER_MINUTE = 1_000
    text = canary(acme)
    await in_thread(plant, acme, django_user_model)
    await in_thread(furnish, stranger)
    strangers = await in_thread(rows_of, stranger)

    question = {"message": f"What is the password {text}?", "metadata": {"pageUrl": text}}
    provider.script(openai_events([f"It is {text} [1]."]))
    assert text in (await chat(acme_key, question, idempotency_key=text)).json["response"]
    await limits.admit_visitor(acme.pk, text, text)
    provider.script(paced(openai_events([f"{text} "] * 500), 0.0, 0.05))
    async with leaving(acme_key, {"message": f"And the other password {text}?"}) as visitor:
        await pieces_of(visitor, 2)  # this answer is being written while its client is deleted
        before = await found(acme, store, own_data)
        await in_thread(erasure.request_erasure, acme.pk)
        receipt = await in_thread(erasure.erase, acme.pk)
        await asyncio.sleep(3 * tapes.HEARTBEAT)

    assert before.pop("tables") >= {"chat_message", "knowledge_chunk", "tenants_client", "tenants_auditevent"}
    assert before.pop("redis") == {"tape", "answer", "answers", "limits", "embedding"}
    assert all(before.values()) and all(receipt.before.values()), (before, receipt.before)
    assert receipt.after == dict.fromkeys(receipt.before, 0)
    nothing = {"tables": set(), "redis": set()} | dict.fromkeys(before, 0)
    assert await found(acme, store, own_data) == nothing
    assert await in_thread(rows_of, stranger) >= strangers  # the upkeep may close what was furnished
    assert await in_thread(books, acme) == 2
    assert await in_thread(actors, acme) == ["ann"]


def books(client: Client) -> int:
    with client_scope(client.pk):
        return UsageRecord.objects.filter(kind="chat").count()


def actors(client: Client) -> list[str]:
    with client_scope(client.pk):
        return [event.actor for event in AuditEvent.objects.all()]


def rows_of(client: Client) -> set[tuple[str, Any]]:
    with client_scope(client.pk):
        return {(model.__name__, pk) for model in OWNED for pk in model._default_manager.values_list("pk", flat=True)}
