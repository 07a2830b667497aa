"""Each chat request is counted once, wherever it came in and however it ended."""

import pytest
from pytest_django import Settings

from tenants.models import Client
from tests.chat.conversation import Socket, chat, stream
from tests.config.figures import figures, gained
from tests.contracts.llm_server import LlmServer, status

pytestmark = pytest.mark.django_db(transaction=True)


async def test_each_request_is_counted_once_at_its_door(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings
) -> None:
    settings.FREE_MODEL = settings.PAID_MODEL = "gpt-4o-mini"
    before = figures()
    whole = (await chat(acme_key)).json
    await stream(acme_key)
    await stream("pk_live_nobody")
    await chat(acme_key, {"message": ""})
    socket = Socket()
    assert await socket.open()
    await socket.auth(acme_key)
    await socket.say(type="ask", id="q", message="hello")
    await socket.answers("q")
    await socket.wire.disconnect()
    provider.script(status(400))
    await stream(acme_key)
    found = gained(before)
    usage = whole["usage"]
    assert {key: value for key, value in found.items() if key[0] == "support_chat_requests_total"} == {
        ("support_chat_requests_total", "rest", "answered", "paid"): 1,
        ("support_chat_requests_total", "sse", "answered", "paid"): 1,
        ("support_chat_requests_total", "sse", "INVALID_API_KEY", "unknown"): 1,
        ("support_chat_requests_total", "rest", "INVALID_REQUEST", "paid"): 1,
        ("support_chat_requests_total", "websocket", "greeted", "paid"): 1,
        ("support_chat_requests_total", "sse", "failed", "paid"): 1,
    }
    assert found["support_chat_first_token_seconds_count", "model"] == 2
    assert found["support_chat_last_token_seconds_count", "fixed"] == 1
    assert found["support_chat_llm_tokens_total", "completion", "gpt-4o-mini"] == 2 * usage["completionTokens"]
    assert found["support_chat_answer_cache_total", "miss"] == 3
    assert {found["support_chat_search_seconds_count", part] for part in ("embed", "index", "rows")} == {3}


async def test_a_repetition_a_hit_and_a_full_hour(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings
) -> None:
    settings.ANSWER_CACHE_SECONDS = 60
    await Client.objects.filter(pk=shop.pk).aupdate(hourly_limit=2, hard_cap=True)
    before = figures()
    await chat(acme_key, idempotency_key="once")
    await chat(acme_key, idempotency_key="once")
    await chat(acme_key)
    await chat(acme_key)
    found = gained(before)
    assert {key[2]: value for key, value in found.items() if key[0] == "support_chat_requests_total"} == {
        "answered": 2,
        "repeated": 1,
        "RATE_LIMITED": 1,
    }
    assert found["support_chat_answer_cache_total", "hit"] == 1
    assert found["support_chat_limit_refusals_total", "hour"] == 1
