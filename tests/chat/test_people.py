"""A person has the conversation: the model is silent, every message is kept, and nobody is stuck."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from channels.testing import HttpCommunicator
from django.contrib.auth.models import User
from django.core import mail as django_mail
from django.utils import timezone
from pytest_django import Settings

from chat import visitors
from chat.models import Contact, Message, Session, SupportHours
from chat.people import feed, mail, takeover
from chat.people import visitors as people
from chat.tapes.house import house
from tenants import outbox
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope
from tenants.threads import in_thread
from tests.chat.conversation import QUESTION, Socket, books, chat, http, stream
from tests.contracts.llm_server import LlmServer
from tests.services import free_port

pytestmark = pytest.mark.django_db(transaction=True)
ALWAYS = dict.fromkeys(SupportHours.DAYS, "00:00-24:00")


@pytest.fixture
def ann(transactional_db: None) -> User:
    return User.objects.create_user("ann.miller", first_name="Ann")


@pytest.fixture
def bob(transactional_db: None) -> User:
    return User.objects.create_user("bob")


async def begin(key: str) -> tuple[uuid.UUID, str]:
    """A conversation with one answer: its id and token."""
    answer = (await chat(key)).json
    return uuid.UUID(answer["sessionId"]), answer["sessionToken"]


async def told(client: Client, session: uuid.UUID) -> list[tuple[str, str, str, str]]:
    """(role, event, person, text) of the whole transcript."""

    def read() -> list[tuple[str, str, str, str]]:
        with client_scope(client.pk):
            rows = Message.objects.filter(session__session_id=session).order_by("pk")
            return list(rows.values_list("role", "event", "person", "text"))

    return await in_thread(read)


async def change(client: Client, session: uuid.UUID, **values: Any) -> None:
    def update() -> None:
        with client_scope(client.pk):
            Session.objects.filter(session_id=session).update(**values)

    await in_thread(update)


async def staffed(client: Client, **hours: str) -> None:
    def make() -> None:
        with client_scope(client.pk):
            SupportHours.objects.create(**{**ALWAYS, **hours})

    await in_thread(make)


class Ear:
    """An event stream of people's messages."""

    def __init__(self, key: str, session: uuid.UUID, token: str, after: str = ""):
        headers = [(b"x-api-key", key.encode()), (b"x-session-token", token.encode())]
        path = f"/api/widget/sessions/{session}/events" + (f"?after={after}" if after else "")
        self.wire = HttpCommunicator(http, "GET", path, b"", headers)
        self.rest = ""
        self.frames: list[tuple[str, str, Any]] = []

    async def hear(self, seconds: float = 5) -> tuple[str, str, Any]:
        """The next (id, event, data)."""
        while not self.frames:
            message = await self.wire.receive_output(seconds)
            self.status = message.get("status", 200)
            *whole, self.rest = (self.rest + message.get("body", b"").decode()).split("\n\n")
            for frame in whole:
                fields = dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith(":"))
                if "event" in fields:
                    self.frames.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
        return self.frames.pop(0)


@asynccontextmanager
async def ear(*args: Any) -> AsyncIterator[Ear]:
    listener = Ear(*args)
    await listener.wire.send_input({"type": "http.request"})
    yield listener
    await listener.wire.send_input({"type": "http.disconnect"})
    await listener.wire.wait(5)


async def test_while_a_person_has_the_conversation_the_model_is_not_asked(
    shop: Client, acme_key: str, provider: LlmServer, ann: User
) -> None:
    session, token = await begin(acme_key)
    records, _ = await books(shop)
    await in_thread(takeover.take_over, shop.pk, session, ann)
    body = {"message": "Is somebody there?", "sessionId": str(session)}
    reply = await chat(acme_key, body, idempotency_key="one")
    assert reply.status == 200 and reply.json["person"] == {"name": "Ann"}
    assert reply.json["response"] == "Ann reads this and will answer you here personally."
    assert (reply.json["sources"], reply.json["usage"]["totalTokens"]) == ([], 0)
    assert (reply.headers["x-ratelimit-limit"], reply.headers["x-ratelimit-remaining"]) == ("1000", "999")
    streamed = await stream(acme_key, {**body, "message": "Hallo, ist da jemand?"})
    assert [name for name, _ in streamed.events] == ["start", "chunk", "sources", "usage", "done"]
    assert streamed.text == "Ann liest mit und antwortet Ihnen hier persönlich."
    assert json.loads((await chat(acme_key, body, idempotency_key="one")).body)["traceId"] == reply.json["traceId"]
    conflict = await chat(acme_key, {**body, "message": "Other"}, idempotency_key="one")
    assert conflict.error == (409, "IDEMPOTENCY_CONFLICT")
    await in_thread(takeover.write, shop.pk, session, ann, "Yes, I am.", uuid.uuid4())
    await in_thread(takeover.hand_back, shop.pk, session, ann)
    assert len(provider.requests) == 1
    assert (await books(shop)) == (records, 0), "what no model answers is not billed"
    answered = await chat(acme_key, {"message": QUESTION, "sessionId": str(session)})
    assert "60 days" in answer_text(answered) and "person" not in answered.json
    assert (await told(shop, session))[2:-2] == [
        ("event", "taken", "Ann", ""),
        ("visitor", "", "Ann", "Is somebody there?"),
        ("visitor", "", "Ann", "Hallo, ist da jemand?"),
        ("staff", "", "Ann", "Yes, I am."),
        ("event", "returned", "Ann", ""),
    ]
    history = await in_thread(visitors.messages, shop.pk, session, token)
    assert [(turn["role"], turn.get("person")) for turn in history[2:5]] == [
        ("visitor", None),
        ("visitor", None),
        ("assistant", {"name": "Ann"}),
    ], "old callers read the roles that they know"
    asked = json.dumps(provider.requests[-1].body)
    assert "Yes, I am." in asked, "the model knows what the person said"


def answer_text(reply: Any) -> str:
    return reply.json["response"]


@pytest.mark.usefixtures("each_redis")
async def test_the_visitor_hears_of_the_person_at_once_and_after_a_cut_of_what_was_missed(
    shop: Client, acme_key: str, provider: LlmServer, ann: User
) -> None:
    session, token = await begin(acme_key)
    free = {"person": None, "waiting": False, "staffed": False}
    async with ear(acme_key, session, token) as page:
        assert await page.hear() == ("", "state", free)
        await in_thread(takeover.take_over, shop.pk, session, ann)
        await feed.tell(shop.pk, session)
        assert await page.hear() == ("", "state", {**free, "person": {"name": "Ann"}})
        await feed.tell(shop.pk, session, "typing", name="Ann")
        assert await page.hear() == ("", "typing", {"name": "Ann"})
        await in_thread(takeover.write, shop.pk, session, ann, 'Hello,\nI am {"Ann"}.', uuid.uuid4())
        await feed.tell(shop.pk, session)
        last, name, data = await page.hear()
        assert (name, data["message"], data["person"]) == ("message", 'Hello,\nI am {"Ann"}.', {"name": "Ann"})
        assert data["traceId"] == last
    await in_thread(takeover.write, shop.pk, session, ann, "Still there?", uuid.uuid4())
    async with ear(acme_key, session, token, last) as page:
        assert (await page.hear())[1] == "state"
        assert (await page.hear())[2]["message"] == "Still there?"
    async with ear(acme_key, session, token) as page:
        assert [(await page.hear())[1] for _ in range(3)] == ["state", "message", "message"]


async def test_a_lost_nudge_costs_time_only(
    shop: Client, acme_key: str, provider: LlmServer, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the channel layer, rows alone carry the conversation."""
    monkeypatch.setattr(feed, "_layer", lambda: None)
    session, token = await begin(acme_key)
    await in_thread(takeover.take_over, shop.pk, session, ann)
    async with ear(acme_key, session, token) as page:
        assert (await page.hear())[2]["person"] == {"name": "Ann"}
        await in_thread(takeover.write, shop.pk, session, ann, "Hello", uuid.uuid4())
        await feed.tell(shop.pk, session)
        assert (await page.hear())[2]["message"] == "Hello"


async def test_a_person_who_vanishes_leaves_nobody_stuck(
    shop: Client, acme_key: str, provider: LlmServer, ann: User, bob: User, settings: Settings
) -> None:
    session, token = await begin(acme_key)
    await in_thread(takeover.take_over, shop.pk, session, ann)
    with pytest.raises(takeover.Taken, match="Ann has this conversation"):
        await in_thread(takeover.take_over, shop.pk, session, bob)
    assert await in_thread(takeover.hand_back_abandoned) == []
    gone = timezone.now() - timedelta(seconds=settings.TAKEOVER_SECONDS + 1)
    await change(shop, session, staff_seen=gone)
    answered = await chat(acme_key, {"message": QUESTION, "sessionId": str(session)})
    assert "60 days" in answer_text(answered), "even before the sweep"
    assert await in_thread(takeover.hand_back_abandoned) == [(shop.pk, session)]
    assert await in_thread(takeover.hand_back_abandoned) == []
    assert (await told(shop, session))[-1] == ("event", "lost", "Ann", "")
    with pytest.raises(takeover.Taken):
        await in_thread(takeover.write, shop.pk, session, ann, "I am back", uuid.uuid4())
    await in_thread(takeover.take_over, shop.pk, session, bob)
    await in_thread(takeover.hand_back, shop.pk, session, ann)
    async with ear(acme_key, session, token) as page:
        assert (await page.hear())[2]["person"] == {"name": "bob"}, "not Ann's to hand back"


async def test_a_full_hour_does_not_silence_a_person(
    shop: Client, acme_key: str, provider: LlmServer, ann: User
) -> None:
    session, _ = await begin(acme_key)
    await in_thread(takeover.take_over, shop.pk, session, ann)
    await in_thread(cap, shop, 1)
    body = {"message": "Hello?", "sessionId": str(session)}
    assert (await chat(acme_key, body, idempotency_key="a")).json["person"] == {"name": "Ann"}
    assert (await chat(acme_key, body)).json["person"] == {"name": "Ann"}, "older widgets name no key"
    assert (await chat(acme_key, {"message": QUESTION}, idempotency_key="b")).error == (429, "RATE_LIMITED")
    assert (await chat(acme_key, {"message": QUESTION})).error == (429, "RATE_LIMITED")
    await in_thread(takeover.hand_back, shop.pk, session, ann)
    assert (await chat(acme_key, body, idempotency_key="c")).error == (429, "RATE_LIMITED")
    assert (await chat(acme_key, body)).error == (429, "RATE_LIMITED")
    assert (await chat(acme_key, body, idempotency_key="a")).json["person"] == {"name": "Ann"}
    assert len(house().finished) == len(house().tapes) > 0, "none is kept for ever"


def cap(client: Client, limit: int) -> None:
    Client.objects.filter(pk=client.pk).update(hourly_limit=limit, hard_cap=True)
    from tenants.callers import forget_callers

    forget_callers()


async def test_the_socket_listens_too(shop: Client, acme_key: str, provider: LlmServer, ann: User) -> None:
    session, token = await begin(acme_key)
    page = Socket()
    assert await page.open()
    await page.auth(acme_key, sessionId=str(session), sessionToken=token)
    await page.say(type="listen", id="l")
    assert (await page.hear())["data"]["person"] is None
    await in_thread(takeover.take_over, shop.pk, session, ann)
    await feed.tell(shop.pk, session)
    state = {"person": {"name": "Ann"}, "waiting": False, "staffed": False}
    assert await page.hear() == {"id": "l", "event": "state", "eventId": "", "data": state}
    await page.say(type="ask", id="q", message="Hello?")
    heard = [await page.hear() for _ in range(5)]
    assert [event["event"] for event in heard] == ["start", "chunk", "sources", "usage", "done"]
    await page.wire.disconnect()


async def test_a_listener_is_sent_away_with_its_key_and_when_the_visitor_is_erased(
    shop: Client, acme_key: str, provider: LlmServer
) -> None:
    session, token = await begin(acme_key)
    for foreign in (token[:-1] + ("0" if token[-1] != "0" else "1"), ""):
        async with ear(acme_key, session, foreign) as page:
            assert (await page.wire.receive_output(5))["status"] == 404
    async with ear(acme_key, session, token) as page:
        await page.hear()
        await in_thread(pause, shop)
        async with asyncio.timeout(2.5):
            assert (await page.hear())[2]["code"] == "INVALID_API_KEY"


def pause(client: Client) -> None:
    Client.objects.filter(pk=client.pk).update(status="paused")


async def test_a_visitor_asks_for_a_person_while_some_are_there(
    shop: Client, acme_key: str, provider: LlmServer, ann: User
) -> None:
    session, token = await begin(acme_key)
    ask = (people.ask, shop.pk, session, token)
    assert await in_thread(*ask) == {"person": None, "waiting": False, "staffed": False}, "no hours, nobody"
    await staffed(shop)
    assert await in_thread(*ask) == {"person": None, "waiting": True, "staffed": True}
    assert await in_thread(*ask) == {"person": None, "waiting": True, "staffed": True}
    answered = await chat(acme_key, {"message": QUESTION, "sessionId": str(session)})
    assert "60 days" in answer_text(answered), "the model answers meanwhile"
    assert (await told(shop, session)).count(("event", "asked", "", "")) == 1
    await in_thread(takeover.take_over, shop.pk, session, ann)
    assert await in_thread(*ask) == {"person": {"name": "Ann"}, "waiting": False, "staffed": True}


async def test_outside_staffed_hours_an_address_is_left_and_told(
    shop: Client, stranger: Client, acme_key: str, provider: LlmServer
) -> None:
    session, token = await begin(acme_key)
    await staffed(shop, **dict.fromkeys(SupportHours.DAYS, ""), email="people@acme.example")
    assert await in_thread(people.ask, shop.pk, session, token) == {"person": None, "waiting": False, "staffed": False}
    leave = (people.leave_address, shop.pk, session, token)
    await in_thread(*leave, "vera@example.org")
    await in_thread(*leave, "vera@example.org")
    assert await in_thread(mail.send_due) == 1
    assert await in_thread(mail.send_due) == 0
    (sent,) = django_mail.outbox
    assert (sent.to, sent.reply_to) == (["people@acme.example"], ["vera@example.org"])
    assert "vera@example.org" in sent.body and "/admin/chat/session/" in sent.body
    assert (await told(shop, session))[-1] == ("event", "address", "", "vera@example.org")
    for n in range(2):
        await in_thread(*leave, f"v{n}@example.org")
    with pytest.raises(ApiError) as refused:
        await in_thread(*leave, "v3@example.org")
    assert refused.value.status == 429
    with pytest.raises(ApiError) as refused:
        await in_thread(people.leave_address, stranger.pk, session, token, "vera@example.org")
    assert refused.value.status == 404
    await in_thread(visitors.erase, shop.pk, session, token)
    assert await in_thread(contacts, shop) == 0, "an address goes with its visitor"


async def test_a_mail_server_that_is_away_is_tried_again(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings
) -> None:
    session, token = await begin(acme_key)
    await staffed(shop, email="people@acme.example")
    await in_thread(people.leave_address, shop.pk, session, token, "vera@example.org")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    assert await in_thread(mail.send_due) == 0
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert await in_thread(mail.send_due) == 0, "claimed a moment ago"
    await in_thread(unclaim, shop)
    assert await in_thread(mail.send_due) == 1


def contacts(client: Client) -> int:
    with client_scope(client.pk):
        return Contact.objects.count()


def unclaim(client: Client) -> None:
    with client_scope(client.pk):
        Contact.objects.update(claimed=timezone.now() - outbox.CLAIM - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("moment", "open"),
    [
        ("2026-11-23T08:00:00+00:00", True),  # Monday, 9 in Berlin
        ("2026-11-23T07:59:59+00:00", False),
        ("2026-11-23T11:30:00+00:00", False),  # lunch
        ("2026-11-23T12:30:00+00:00", True),
        ("2026-07-06T07:00:00+00:00", True),  # summer time
        ("2026-11-24T08:00:00+00:00", False),  # Tuesday
        ("2026-11-28T22:59:59+00:00", True),  # Saturday until midnight
        ("2026-11-28T23:00:00+00:00", False),
    ],
)
def test_staffed_hours_are_local(moment: str, open: bool) -> None:
    hours = SupportHours(time_zone="Europe/Berlin", monday="09:00-12:30, 13:30-17:00", saturday="20:00-24:00")
    assert hours.open_at(datetime.fromisoformat(moment).astimezone(UTC)) is open
