"""The WebSocket door."""

import asyncio
import uuid

import pytest
from pytest_django import Settings

from chat import door, shutdown, websocket
from chat.tapes import recorder
from tenants import callers, keys
from tenants.models import Client
from tenants.threads import in_thread
from tests.chat.conversation import ORIGIN, QUESTION, Socket, stored
from tests.contracts.llm_server import HANG, LlmServer, openai_events, paced

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page() -> Socket:
    return Socket()


async def test_several_questions_at_once_on_one_connection(
    shop: Client, acme_key: str, provider: LlmServer, page: Socket
) -> None:
    provider.script(paced(openai_events(["You have ", "60 days."]), 0.1, 0.1))
    assert await page.open()
    ready = await page.auth(acme_key)
    await page.say(type="ask", id="a", message=QUESTION)
    await page.say(type="ping")
    await page.say(type="ask", id="b", message=QUESTION)
    assert (await page.hear()) == {"id": "", "event": "pong", "data": {}, "eventId": ""}
    heard = await page.answers("a", "b")
    for events in heard.values():
        assert "".join(e["data"] for e in events if e["event"] == "chunk") == "You have 60 days."
        assert [e["event"] for e in events][-3:] == ["sources", "usage", "done"]
        assert events[0]["data"]["sessionId"] == ready["data"]["sessionId"]
        assert events[0]["data"]["sessionToken"] == ready["data"]["sessionToken"]
    assert len(await stored(shop)) == 2
    await page.wire.disconnect()


async def test_a_session_goes_on_with_its_token_only(
    shop: Client, acme_key: str, provider: LlmServer, page: Socket
) -> None:
    own = str(uuid.uuid4())
    assert await page.open()
    ready = await page.auth(acme_key, sessionId=own)
    assert ready["data"]["sessionId"] == own
    await page.say(type="ask", id="a", message=QUESTION)
    await page.answers("a")
    await page.wire.disconnect()
    for token, same in ((ready["data"]["sessionToken"], True), ("x", False), ("", False)):
        other = Socket()
        assert await other.open()
        assert ((await other.auth(acme_key, sessionId=own, sessionToken=token))["data"]["sessionId"] == own) is same
        await other.wire.disconnect()


@pytest.mark.parametrize(
    ("message", "code", "close"),
    [
        ({"type": "auth", "apiKey": "pk_live_wrong"}, "INVALID_API_KEY", 4401),
        ({"type": "auth"}, "INVALID_API_KEY", 4401),
        ({"type": "ask", "id": "a", "message": "hello"}, "INVALID_REQUEST", 4400),
    ],
)
async def test_who_is_not_let_in(shop: Client, page: Socket, message: dict[str, str], code: str, close: int) -> None:
    assert await page.open()
    await page.say(**message)
    assert (await page.hear())["data"]["code"] == code
    assert await page.closed() == close


async def test_origins(shop: Client, acme_key: str) -> None:
    await in_thread(_allow, shop, ["shop.example.com"])
    assert not await Socket("null").open()
    assert not await Socket("no origin").open()
    page = Socket("https://evil.example.net")
    assert await page.open()
    assert (await page.auth(acme_key))["data"]["code"] == "DOMAIN_NOT_ALLOWED"
    assert await page.closed() == 4403
    page = Socket(ORIGIN)
    assert await page.open() and (await page.auth(acme_key))["event"] == "ready"
    await page.wire.disconnect()


async def test_errors_of_a_question_leave_the_connection_open(
    shop: Client, acme_key: str, provider: LlmServer, page: Socket, settings: Settings
) -> None:
    settings.SESSION_REQUESTS_PER_MINUTE = 1
    assert await page.open()
    await page.auth(acme_key)
    await page.say(type="ask", id="a", message="")
    assert (await page.hear())["data"]["code"] == "INVALID_REQUEST"
    await page.wire.send_to(text_data="{")
    assert (await page.hear())["data"]["code"] == "INVALID_REQUEST"
    await page.wire.send_to(bytes_data=b"{}")
    assert (await page.hear())["data"]["code"] == "INVALID_REQUEST"
    await page.say(type="ask", id="b", message=QUESTION)
    assert (await page.answers("b"))["b"][-1]["event"] == "done"
    await page.say(type="ask", id="c", message=QUESTION)
    refused = await page.hear()
    assert (refused["id"], refused["event"], refused["data"]["code"]) == ("c", "error", "RATE_LIMITED")
    await page.wire.disconnect()


async def test_every_frame_has_the_one_shape_and_the_id_of_what_it_answers(
    shop: Client, acme_key: str, provider: LlmServer, page: Socket
) -> None:
    assert await page.open()
    ready = await page.auth(acme_key, id="auth")
    assert (ready["id"], ready["event"], ready["eventId"]) == ("auth", "ready", "")
    wrong = {"message": "", "type": "ask"}
    for id, echoed in (("a", "a"), ("", ""), (None, ""), (5, 5), (-1, -1), ("a\0", "a\0"), ("\ud800", "?")):
        await page.say(**wrong, id=id)
        refused = await page.hear()
        assert (refused["id"], refused["event"], refused["data"]["code"]) == (echoed, "error", "INVALID_REQUEST")
        assert set(refused) == {"id", "event", "data", "eventId"} and refused["eventId"] == ""
    for id in (True, 1.5, {"a": 1}, ["a"]):
        await page.say(type="ask", message=QUESTION, id=id)
        refused = await page.hear()
        assert (refused["id"], refused["data"]["message"]) == ("", "The id of a message is a text or a whole number.")
    for refused_unread in ({"type": "ask", "message": "a\0"}, {"type": "ask", "message": "\ud800"}, {"type": "dance"}):
        await page.say(**refused_unread, id="b")
        assert (await page.hear())["id"] == "b"
    await page.say(type="ping", id=7)
    assert (await page.hear()) == {"id": 7, "event": "pong", "data": {}, "eventId": ""}
    await page.say(type="ask", id=8, message="hello")
    heard = [await page.hear() for _ in range(2)]
    assert [(frame["id"], frame["event"], frame["eventId"]) for frame in heard] == [
        (8, "start", "1"),
        (8, "chunk", "2"),
    ]
    await page.wire.disconnect()


async def test_a_flood_of_questions_ends_the_connection(
    shop: Client, acme_key: str, provider: LlmServer, page: Socket, settings: Settings
) -> None:
    settings.VISITOR_ANSWERS_AT_ONCE = 100
    provider.script([*openai_events(["You "], finish=None), HANG])
    assert await page.open()
    await page.auth(acme_key)
    for number in range(websocket.QUESTIONS_AT_ONCE + 1):
        await page.say(type="ask", id=str(number), message=QUESTION)
    assert await page.closed() == 4429


async def test_who_was_sent_away_is_heard_no_more(
    shop: Client, acme_key: str, provider: LlmServer, page: Socket
) -> None:
    assert await page.open()
    await page.say(type="auth", apiKey="pk_live_wrong")
    await page.say(type="auth", apiKey=acme_key)
    await page.say(type="ask", id="a", message=QUESTION)
    assert (await page.hear())["data"]["code"] == "INVALID_API_KEY"
    assert await page.closed() == 4401
    assert await page.wire.receive_nothing(0.3)
    assert await stored(shop) == [] and provider.requests == []
    await page.wire.disconnect()


async def test_the_last_words_leave_before_a_restart_sends_everybody_away(
    shop: Client, acme_key: str, provider: LlmServer, page: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.script(paced(openai_events(["You have ", "60 days."]), 0.01, 0.1))
    monkeypatch.setattr(recorder, "TICK", 0.3)  # seconds from the last words to their being written down, and shown
    assert await page.open()
    await page.auth(acme_key)
    await page.say(type="ask", id="a", message=QUESTION)
    assert (await page.hear())["event"] == "start"
    monkeypatch.setattr(door, "closing", False)  # it stays so for the tests after this one
    ending = asyncio.create_task(shutdown.finish(10, list))
    assert [frame["event"] for frame in (await page.answers("a"))["a"]][-3:] == ["sources", "usage", "done"]
    assert await page.closed() == 1012
    await ending
    await page.wire.disconnect()


async def test_a_paused_client_is_sent_away_at_once(
    shop: Client, acme_key: str, provider: LlmServer, page: Socket
) -> None:
    provider.script([*openai_events(["You ", "have "], finish=None), HANG])
    assert await page.open()
    await page.auth(acme_key)
    await page.say(type="ask", id="a", message=QUESTION)
    assert [(await page.hear())["event"] for _ in range(2)] == ["start", "chunk"]
    await in_thread(_pause, shop)
    async with asyncio.timeout(2):
        assert await page.closed() == 4401
    await asyncio.to_thread(provider.wait_until_left, provider.requests[0], 2)


async def test_a_revoked_key_closes_an_idle_connection(shop: Client, acme_key: str, page: Socket) -> None:
    assert await page.open()
    await page.auth(acme_key)
    await in_thread(_revoke, acme_key)
    async with asyncio.timeout(2):
        assert await page.closed() == 4401


async def test_nobody_stays_without_a_key(shop: Client, page: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "AUTH_SECONDS", 0.1)
    assert await page.open()
    assert await page.closed() == 4400


def _allow(client: Client, domains: list[str]) -> None:
    Client.objects.filter(pk=client.pk).update(allowed_domains=domains)
    callers.forget_callers()


def _pause(client: Client) -> None:
    Client.objects.filter(pk=client.pk).update(status="paused")


def _revoke(key: str) -> None:
    keys.revoke(keys.find(keys.digests(key)))
