"""A visitor takes away, or has erased, what is held of them; a client likewise. Planted strings are looked for."""

import asyncio
import base64
import json
import uuid
from functools import partial

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.test import AsyncClient
from django.test import Client as Browser
from pytest_django import Settings

from chat import tapes, visitors
from chat.models import Message, Session, SessionErasure
from knowledge.documents import Upload, submit
from tenants import keys
from tenants.models import Client
from tenants.scoping import client_scope
from tenants.threads import in_thread
from tenants.visitors import session_token
from tests.canaries import places
from tests.chat.conversation import books, chat, leaving, pieces_of
from tests.contracts.llm_server import LlmServer, openai_events, paced
from tests.knowledge.ingestion import work

pytestmark = pytest.mark.django_db(transaction=True)
WORDS = "blumenkohlkanarie"
OTHERS = "zimtsternkanarie"


@pytest.fixture
def shop(shop: Client, settings: Settings) -> Client:
    """The client with boots, whose visitors may be slow."""
    settings.ABANDONED_SECONDS = 10
    return shop


@pytest.fixture
def remembering(settings: Settings) -> None:
    settings.ANSWER_CACHE_SECONDS = 300


async def ask(key: str, session: uuid.UUID, words: str, provider: LlmServer) -> str:
    """Ask with the words at every place that a visitor can write to; the model repeats them. The trace id."""
    provider.script(openai_events([f"{words}, you have ", "60 days", " [1]."]))
    metadata = {"userAgent": words, "pageUrl": f"https://shop.example.com/{words}", "customFields": {"note": words}}
    body = {"message": f"Can {words} boots be returned?", "sessionId": str(session), "metadata": metadata}
    reply = await chat(key, body)
    assert reply.status == 200 and words in reply.json["response"], reply
    return reply.json["traceId"]


def headers(client: Client, key: str, session: uuid.UUID) -> dict[str, str]:
    return {"x-api-key": key, "x-session-token": session_token(client.pk, session)}


@pytest.mark.usefixtures("each_redis")
def test_a_visitors_words_are_found_nowhere_afterwards(
    shop: Client, stranger: Client, acme_key: str, stranger_key: str, provider: LlmServer, remembering: None
) -> None:
    mine, theirs, neighbour = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    trace = async_to_sync(ask)(acme_key, mine, WORDS, provider)
    async_to_sync(ask)(acme_key, neighbour, OTHERS, provider)
    async_to_sync(ask)(stranger_key, theirs, OTHERS, provider)
    as_visitor = headers(shop, acme_key, mine)
    rating = {"rating": "down", "comment": WORDS}
    path = f"/api/widget/messages/{trace}/feedback"
    assert Browser().post(path, rating, "application/json", headers=as_visitor).status_code == 204
    assert places(WORDS) == {"chat_session", "chat_message", "redis:tape", "redis:answer"}
    strangers = places(OTHERS)

    wrong = {**as_visitor, "x-session-token": session_token(stranger.pk, mine)}
    assert Browser().delete(f"/api/widget/sessions/{mine}", headers=wrong).status_code == 404
    erased = Browser().delete(f"/api/widget/sessions/{mine}?receipt=true", headers=as_visitor)
    assert erased.status_code == 200
    counts = {"messages": 2, "contacts": 0, "recordings": 1, "cachedAnswers": 1}
    assert (erased.json()["before"], erased.json()["after"]) == (counts, dict.fromkeys(counts, 0))
    assert places(WORDS) == set() and places(OTHERS) == strangers
    with client_scope(shop.pk):
        assert [str(receipt.pk) for receipt in SessionErasure.objects.all()] == [erased.json()["receiptId"]]
        assert [session.session_id for session in Session.objects.all()] == [neighbour]
    assert Browser().delete(f"/api/widget/sessions/{mine}", headers=as_visitor).status_code == 404
    assert len(async_to_sync(books)(shop)[0]) == 2  # the books stay, and hold no words


@pytest.mark.usefixtures("each_redis")
async def test_an_erasure_while_the_answer_is_written(
    shop: Client, acme_key: str, provider: LlmServer, remembering: None
) -> None:
    """The answer stops, and neither its end nor the sweeper brings it back."""
    provider.script(paced(openai_events([f"{WORDS} {number} " for number in range(100)]), 0.02, 0.1))
    session = uuid.uuid4()
    async with leaving(acme_key, {"message": f"Tell {WORDS} about boots!", "sessionId": str(session)}) as stream:
        await pieces_of(stream, 2)
        token = session_token(shop.pk, session)
        receipt = await in_thread(visitors.erase, shop.pk, session, token)
        assert receipt["before"]["messages"] == 2 and not any(receipt["after"].values())
        said = b""
        while (message := await stream.receive_output(5)).get("more_body"):
            said += message["body"]
    assert b"event: error" in said and tapes.running() == []
    await asyncio.sleep(0.3)
    assert await in_thread(places, WORDS) == set()
    rows, open_ones = await books(shop)
    assert (len(rows), open_ones) == (1, 0)  # what was written until then is billed


@pytest.mark.usefixtures("each_redis")
async def test_another_process_stops_too(shop: Client, acme_key: str, provider: LlmServer) -> None:
    """It learns of the erasure from Redis: here the tape is still there, as only another process erased it."""
    provider.script(paced(openai_events([f"{WORDS} {number} " for number in range(200)]), 0.02, 0.1))
    session = uuid.uuid4()
    async with leaving(acme_key, {"message": f"Tell {WORDS} about boots!", "sessionId": str(session)}) as stream:
        await pieces_of(stream, 2)
        token = session_token(shop.pk, session)
        erase = partial(visitors.erase, shop.pk, session, token)
        await in_thread(asyncio.run, in_thread(erase))  # a loop of its own, as another process has
        assert await in_thread(places, WORDS) == set() and len(tapes.running()) <= 1
        await asyncio.sleep(tapes.HEARTBEAT)
        assert tapes.running() == []
    assert await in_thread(places, WORDS) == set()


def test_without_redis_nothing_is_half_erased(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings, unused_port: int
) -> None:
    session = uuid.uuid4()
    async_to_sync(ask)(acme_key, session, WORDS, provider)
    settings.REDIS_URL = f"redis://127.0.0.1:{unused_port}/0"
    reply = Browser().delete(f"/api/widget/sessions/{session}", headers=headers(shop, acme_key, session))
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    with client_scope(shop.pk):
        assert Message.objects.filter(session__session_id=session).count() == 2


def test_a_visitor_takes_everything_away(shop: Client, acme_key: str, stranger_key: str, provider: LlmServer) -> None:
    mine, neighbour = uuid.uuid4(), uuid.uuid4()
    async_to_sync(ask)(acme_key, mine, WORDS, provider)
    async_to_sync(ask)(acme_key, neighbour, OTHERS, provider)
    export = read(f"/api/widget/sessions/{mine}/export", headers(shop, acme_key, mine))
    assert export["session"]["metadata"]["customFields"] == {"note": WORDS}
    assert [(turn["role"], WORDS in turn["text"]) for turn in export["messages"]] == [
        ("visitor", True),
        ("assistant", True),
    ]
    assert OTHERS not in json.dumps(export)
    stolen = headers(shop, stranger_key, mine)
    assert Browser().get(f"/api/widget/sessions/{mine}/export", headers=stolen).status_code == 404


def test_express_names_the_client_in_the_body_or_in_the_query(
    shop: Client, stranger: Client, acme_key: str, provider: LlmServer
) -> None:
    session = uuid.uuid4()
    path = f"/api/widget/messages/{async_to_sync(ask)(acme_key, session, WORDS, provider)}/feedback"
    token = session_token(shop.pk, session)
    express = {"x-internal-secret": django_settings.INTERNAL_API_SECRET, "x-session-token": token}

    def rate(query: str = "", **named: object) -> int:
        body = {"rating": "up", **named}
        return Browser().post(path + query, body, "application/json", headers=express).status_code

    assert (rate(clientId=str(shop.pk)), rate(f"?clientId={shop.pk}")) == (204, 204)
    assert (rate(), rate(clientId={}), rate(clientId="")) == (400, 400, 400)
    assert (rate(clientId=str(stranger.pk)), rate(f"?clientId={stranger.pk}"), rate(clientId="x")) == (404, 404, 404)
    own = {"x-api-key": acme_key, "x-session-token": token}
    body = {"rating": "down", "clientId": str(stranger.pk)}
    assert Browser().post(path, body, "application/json", headers=own).status_code == 204
    with client_scope(shop.pk):
        assert Message.objects.get(rating="down").session.session_id == session


@pytest.mark.usefixtures("each_redis")
def test_a_client_takes_everything_away_and_is_erased(
    own_data: object, shop: Client, stranger: Client, acme_key: str, stranger_key: str, provider: LlmServer
) -> None:
    for client, key, words in ((shop, acme_key, WORDS), (stranger, stranger_key, OTHERS)):
        submit(client, Upload("d", f"Text of {words}".encode(), "txt", f"{words}.txt"))
        work()
        async_to_sync(ask)(key, uuid.uuid4(), words, provider)
    _, secret = keys.mint(shop.pk, "secret", scopes=keys.SCOPES)
    strangers = places(OTHERS)
    internal = {"x-internal-secret": django_settings.INTERNAL_API_SECRET}
    path = f"/api/widget/internal/clients/{shop.pk}"

    assert Browser().get(f"{path}/export", headers={"authorization": f"Bearer {secret}"}).status_code == 401
    export = read(f"{path}/export", internal)
    assert export["client"]["name"] == "Acme Outdoor" and len(export["rows"]["apiKey"]) == 2
    assert [base64.b64decode(file["data"]) for file in export["files"]] == [f"Text of {WORDS}".encode()]
    assert len(export["rows"]["message"]) == 2 and export["rows"]["usageRecord"]
    text = json.dumps(export)
    digests = {key["id"]: key for key in export["rows"]["apiKey"]}
    assert OTHERS not in text and str(stranger.pk) not in text and "digest" not in next(iter(digests.values()))

    assert Browser().get(f"{path}/erasure", headers=internal).status_code == 404
    reply = Browser().post(f"{path}/erasure", {}, "application/json", headers=internal)
    receipt = reply.json()
    assert reply.status_code == 202 and receipt["finished"] and not any(receipt["after"].values())
    assert Browser().get(f"{path}/erasure", headers=internal).json() == receipt
    assert Browser().get(f"{path}/export", headers=internal).status_code == 404
    assert places(OTHERS) == strangers


def read(path: str, as_caller: dict[str, str]) -> dict:
    """A streamed download, in its pieces, as a server sends it."""

    async def download() -> bytes:
        response = await AsyncClient().get(path, headers=as_caller)
        assert response.status_code == 200 and response["Cache-Control"] == "no-store"
        return b"".join([piece async for piece in response.streaming_content])

    return json.loads(async_to_sync(download)())
