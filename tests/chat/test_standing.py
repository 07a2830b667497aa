"""Every chat response whose client is known says what is left of the hour; what takes no place in it leaves all."""

import asyncio
import uuid
from typing import Any

import pytest
from pytest_django import Settings

from billing import limits
from chat import answers
from tenants.models import Client
from tenants.visitors import session_token
from tests.chat.conversation import QUESTION, Reply, call, chat, leaving, pieces_of, stream
from tests.contracts.llm_server import LlmServer, openai_events, paced, status

pytestmark = pytest.mark.django_db(transaction=True)
CHAT = "/api/widget/chat"


def left(reply: Reply) -> int:
    """X-RateLimit-Remaining, beside the other two."""
    assert reply.headers["x-ratelimit-limit"] == "1000" and int(reply.headers["x-ratelimit-reset"]) > 1_700_000_000
    return int(reply.headers["x-ratelimit-remaining"])


@pytest.mark.parametrize("redis", [True, False], ids=["redis", "in process"])
async def test_a_refusal_says_what_is_left(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings, redis: bool
) -> None:
    if not redis:
        settings.REDIS_URL = ""
    bodies: list[Any] = [b"{", {}, {"message": ""}, {"message": "a", "sessionId": "x"}, b"x" * 100_000]
    told = [await call("POST", path, body, x_api_key=acme_key) for path in (CHAT, f"{CHAT}/stream") for body in bodies]
    assert [reply.status for reply in told] == [400, 400, 400, 400, 413] * 2
    assert {left(reply) for reply in told} == {1000}  # from the books: nobody has counted yet
    first = await chat(acme_key, idempotency_key="k")
    assert (first.status, left(first)) == (200, 999)
    express = {"x_internal_secret": settings.INTERNAL_API_SECRET}
    told = [
        await call("POST", CHAT, b"{", x_api_key=acme_key),
        await call("POST", CHAT, {"message": "", "clientId": str(shop.pk)}, **express),
        await chat(acme_key, {"message": "Another?"}, idempotency_key="k"),
        await call("GET", f"{CHAT}/stream/{uuid.uuid4()}", x_api_key=acme_key),
    ]
    assert [(reply.status, left(reply)) for reply in told] == [(400, 999), (400, 999), (409, 999), (404, 999)]
    settings.SESSION_REQUESTS_PER_MINUTE = 1
    session = {"message": "hello", "sessionId": str(uuid.uuid4())}
    assert left(await chat(acme_key, session)) == 998
    hurried = await chat(acme_key, session)
    assert (hurried.status, left(hurried)) == (429, 998)
    for unknown in (await chat("pk_live_x"), await call("POST", CHAT, {"message": "a", "clientId": "x"}, **express)):
        assert unknown.status in (401, 404) and "x-ratelimit-limit" not in unknown.headers


async def test_an_answer_that_fails_leaves_its_place(shop: Client, acme_key: str, provider: LlmServer) -> None:
    provider.script(status(400))
    failed = await chat(acme_key)
    assert (failed.status, left(failed)) == (502, 1000)
    provider.script(openai_events(["60 days [1]."]))
    assert left(await chat(acme_key)) == 999


async def test_what_nobody_foresaw_leaves_its_place(
    shop: Client, acme_key: str, provider: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(answers, "_reserve", broken)
    failed = await stream(acme_key)
    assert (failed.status, left(failed)) == (500, 1000)


async def test_answers_at_once_and_what_is_followed(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings
) -> None:
    settings.VISITOR_ANSWERS_AT_ONCE = 1
    session = {"message": QUESTION, "sessionId": str(uuid.uuid4())}
    trace = str(uuid.uuid4())
    provider.script(paced(openai_events(["You "] * 20), 0.01, 0.05))
    async with leaving(acme_key, session, x_request_id=trace) as first:
        await pieces_of(first, 1)
        second = await stream(acme_key, session)
        assert (second.status, left(second)) == (429, 999)
        token = session_token(shop.pk, uuid.UUID(session["sessionId"]))
        followed = await call("GET", f"{CHAT}/stream/{trace}", x_api_key=acme_key, x_session_token=token)
        assert (followed.status, left(followed)) == (200, 999)


async def test_without_redis_the_books_are_asked_and_without_either_the_reply_comes_all_the_same(
    shop: Client,
    acme_key: str,
    provider: LlmServer,
    settings: Settings,
    unused_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert left(await chat(acme_key)) == 999
    settings.REDIS_URL = f"redis://127.0.0.1:{unused_port}/0"
    told = await call("POST", CHAT, b"{", x_api_key=acme_key)
    assert (told.status, left(told)) == (400, 999)

    async def silent(*_: object) -> int:
        await asyncio.sleep(60)
        return 0

    monkeypatch.setattr("billing.limits.hours._read_books", silent)
    monkeypatch.setattr("billing.limits.hours.STANDING_SECONDS", 0.1)
    told = await call("POST", CHAT, b"{", x_api_key=acme_key)
    assert told.error == (400, "INVALID_REQUEST") and "x-ratelimit-limit" not in told.headers


async def test_an_answer_costs_no_look(
    shop: Client, acme_key: str, provider: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(limits, "standing")
    assert left(await chat(acme_key)) == 999
    assert left(await stream(acme_key)) == 998
