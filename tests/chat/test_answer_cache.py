"""Answers that a process without Redis remembers: whose they are, how many, and for how long."""

import uuid

import pytest
from pytest_django import Settings

from chat import answer_cache, caretaker
from tenants import erasure
from tenants.models import Client
from tenants.threads import in_thread
from tests.chat.conversation import chat
from tests.contracts.llm_server import LlmServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alone(shop: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL, settings.ANSWER_CACHE_SECONDS = "", 300
    monkeypatch.setattr(answer_cache, "_kept", {})


async def cached(key: str, question: str = "Can boots be returned?", session: str = "") -> bool:
    reply = await chat(key, {"message": question, "sessionId": session or str(uuid.uuid4())})
    assert reply.status == 200, reply
    return reply.json["usage"]["cached"]


async def test_an_erased_client_is_forgotten_and_no_other(
    alone: None, shop: Client, acme_key: str, stranger_key: str, provider: LlmServer
) -> None:
    for key in (acme_key, stranger_key):
        assert [await cached(key), await cached(key)] == [False, True]
    await in_thread(erasure.request_erasure, shop.pk)
    await caretaker.forget_erased()
    assert {kept.client_id for kept in answer_cache._kept.values()}.isdisjoint({shop.pk})
    assert await cached(stranger_key) is True


async def test_an_erased_visitor_is_forgotten_and_no_other(
    alone: None, shop: Client, acme_key: str, provider: LlmServer
) -> None:
    mine = uuid.uuid4()
    assert await cached(acme_key, "May I return boots?", str(mine)) is False
    assert await cached(acme_key) is False
    assert (await answer_cache.erase(shop.pk, mine), await answer_cache.erase(shop.pk, mine)) == (1, 0)
    assert [await cached(acme_key), await cached(acme_key, "May I return boots?")] == [True, False]


async def test_what_was_written_with_a_conversation_in_sight_is_not_told_to_others(
    alone: None, acme_key: str, provider: LlmServer
) -> None:
    mine = str(uuid.uuid4())
    assert await cached(acme_key, "My name is Ann. May I return boots?", mine) is False
    assert await cached(acme_key, "Can boots be returned?", mine) is False
    assert [await cached(acme_key), await cached(acme_key)] == [False, True]
    assert await cached(acme_key, "Can boots be returned?", mine) is True


async def test_the_oldest_answers_and_those_whose_time_is_over_are_forgotten(
    alone: None, acme_key: str, provider: LlmServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_cache, "MOST_KEPT", 2)
    questions = ("Can boots be returned?", "May boots be returned?", "Are boots returned?")
    assert [await cached(acme_key, question) for question in questions] == [False] * 3
    assert [await cached(acme_key, question) for question in reversed(questions)] == [True, True, False]
    settings.ANSWER_CACHE_SECONDS = 0
    answer_cache._kept.clear()
    assert [await cached(acme_key), await cached(acme_key)] == [False, False]
