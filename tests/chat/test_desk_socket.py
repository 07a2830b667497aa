"""The staff's WebSocket: who may watch and take over, what they see, and that a lost right ends it."""

import asyncio
import uuid
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as LoginSession
from django.test import Client as Browser
from pytest_django import Settings

from chat.models import Session
from chat.people import takeover
from tenants.models import AuditEvent, Client, StaffMember
from tenants.scoping import client_scope, unscoped
from tenants.threads import in_thread
from tests.chat.conversation import QUESTION, chat, sockets
from tests.chat.test_people import begin, told
from tests.contracts.llm_server import LlmServer

pytestmark = pytest.mark.django_db(transaction=True)


class Desk:
    """Somebody's page of a conversation."""

    def __init__(self, cookie: str, pk: int, origin: str = "http://localhost"):
        headers = [(b"host", b"localhost"), (b"cookie", f"sessionid={cookie}".encode())]
        if origin:
            headers.append((b"origin", origin.encode()))
        self.wire = WebsocketCommunicator(sockets, f"/ws/desk/conversations/{pk}", headers)
        self.state: dict[str, Any] = {}
        self.turns: dict[int, str] = {}

    async def open(self) -> bool:
        return (await self.wire.connect(5))[0]

    async def say(self, **message: Any) -> str:
        """Send, and tell how it went: empty, or what failed."""
        id = message.setdefault("id", str(uuid.uuid4()))
        await self.wire.send_json_to(message)
        while True:
            heard = await self.hear()
            if heard["event"] in ("done", "failed") and heard["id"] == id:
                return heard.get("message", "")

    async def hear(self, seconds: float = 5) -> dict[str, Any]:
        heard = await self.wire.receive_json_from(seconds)
        if heard["event"] == "turn":
            self.turns[heard["id"]] = heard["html"]
        if heard["event"] == "state":
            self.state = heard
        return heard

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(8):
            while not condition(self):
                await self.hear()

    async def closed(self, seconds: float = 3) -> int:
        async with asyncio.timeout(seconds):
            while (message := await self.wire.receive_output(seconds))["type"] != "websocket.close":
                pass
        return message["code"]


def person(name: str, role: str = "", client: Client | None = None) -> str:
    """A member of the staff who has logged in; the cookie."""
    user = User.objects.create_user(name, first_name=name.title(), is_staff=True)
    if role:
        with unscoped("the test hires"):
            StaffMember.objects.create(user=user, role=role, client=client)
    browser = Browser()
    browser.force_login(user, "tenants.staff.RoleBackend")
    return browser.cookies["sessionid"].value


def audited(*names: str) -> list[Any]:
    with unscoped("the test looks at all"):
        return list(AuditEvent.objects.order_by("id").values_list(*names))


def row_of(client: Client, session: uuid.UUID) -> int:
    with client_scope(client.pk):
        return Session.objects.get(session_id=session).pk


async def test_the_staff_watch_take_over_write_and_hand_back(shop: Client, acme_key: str, provider: LlmServer) -> None:
    session, _ = await begin(acme_key)
    pk = await in_thread(row_of, shop, session)
    ann = Desk(await in_thread(person, "ann", StaffMember.Role.SUPPORT), pk)
    own = Desk(await in_thread(person, "own", StaffMember.Role.CLIENT, shop), pk)
    assert await ann.open() and await own.open()
    await ann.until(lambda desk: desk.state and len(desk.turns) == 2)
    assert QUESTION in next(iter(ann.turns.values())) and "60 days" in list(ann.turns.values())[1]
    assert ann.state | {"event": ""} == {"event": "", "person": None, "mine": False, "waiting": False, "mayTake": True}
    assert await ann.say(type="take") == ""
    await own.until(lambda desk: desk.state.get("person") == "Ann")
    assert own.state["mine"] is False
    assert await own.say(type="take") == "Ann has this conversation."
    assert await own.say(type="say", text="Me first") == "Ann has this conversation."
    await chat(acme_key, {"message": "Is <b>Ann</b> there?", "sessionId": str(session)})
    await ann.until(lambda desk: any("Is &lt;b&gt;Ann&lt;/b&gt; there?" in html for html in desk.turns.values()))
    once = str(uuid.uuid4())
    for _ in range(2):  # sent again after a cut
        assert await ann.say(type="say", id=once, text="Yes.") == ""
    assert await ann.say(type="say", text=" ") == "A message has 1 to 4000 characters."
    assert await ann.say(type="return") == ""
    await ann.until(lambda desk: desk.state["person"] is None)
    assert [turn for turn in await told(shop, session) if turn[0] in ("staff", "event")] == [
        ("event", "taken", "Ann", ""),
        ("staff", "", "Ann", "Yes."),
        ("event", "returned", "Ann", ""),
    ]
    noted = await in_thread(audited, "actor", "action", "client_id")
    assert noted[:2] == [("ann", "watch", shop.pk), ("ann", "take over", shop.pk)]
    assert [actor for actor, action, _ in noted if action == "watch"] == ["ann"], "the own staff see no other client"
    assert "Yes." not in str(await in_thread(audited))
    for desk in (ann, own):
        await desk.wire.disconnect()


@pytest.mark.parametrize("case", ["nobody", "no role", "billing", "own staff of another client", "no origin", "evil"])
async def test_who_is_not_let_in(shop: Client, stranger: Client, acme_key: str, provider: LlmServer, case: str) -> None:
    session, _ = await begin(acme_key)
    pk = await in_thread(row_of, shop, session)
    roles: dict[str, tuple[Any, ...]] = {
        "no role": ("new",),
        "billing": ("bill", StaffMember.Role.BILLING),
        "own staff of another client": ("own", StaffMember.Role.CLIENT, stranger),
    }
    cookie = "" if case == "nobody" else await in_thread(person, *roles.get(case, ("sue", StaffMember.Role.SUPPORT)))
    origin = {"no origin": "", "evil": "https://evil.example.net"}.get(case, "http://localhost")
    assert not await Desk(cookie, pk, origin).open()
    assert not await Desk(cookie, 10**9, origin).open(), "and one that nobody has is refused alike"


@pytest.mark.parametrize("loss", ["logged out", "switched off", "role changed", "second factor demanded"])
async def test_a_lost_right_ends_it_within_two_seconds(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings, loss: str
) -> None:
    session, _ = await begin(acme_key)
    pk = await in_thread(row_of, shop, session)
    desk = Desk(await in_thread(person, "sue", StaffMember.Role.SUPPORT), pk)
    assert await desk.open()
    await desk.until(lambda desk: desk.state)
    if loss == "second factor demanded":
        settings.REQUIRE_TWO_FACTOR = True
    else:
        await in_thread(lose, loss)
    assert await desk.closed(2.0) == 4401


def lose(loss: str) -> None:
    if loss == "logged out":
        LoginSession.objects.all().delete()
    elif loss == "switched off":
        User.objects.update(is_active=False)
    else:
        with unscoped("the test moves a person"):
            StaffMember.objects.update(role=StaffMember.Role.BILLING)


async def test_who_is_there_keeps_the_conversation_also_in_silence(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings
) -> None:
    settings.TAKEOVER_SECONDS = 4
    session, _ = await begin(acme_key)
    desk = Desk(await in_thread(person, "sue", StaffMember.Role.SUPPORT), await in_thread(row_of, shop, session))
    assert await desk.open()
    assert await desk.say(type="take") == ""
    await asyncio.sleep(5)
    assert await in_thread(takeover.hand_back_abandoned) == []
    await desk.wire.disconnect()
    await asyncio.sleep(4.1)
    assert await in_thread(takeover.hand_back_abandoned) == [(shop.pk, session)]


async def test_an_erased_conversation_ends_it(shop: Client, acme_key: str, provider: LlmServer) -> None:
    session, _ = await begin(acme_key)
    desk = Desk(await in_thread(person, "sue", StaffMember.Role.SUPPORT), await in_thread(row_of, shop, session))
    assert await desk.open()
    await desk.until(lambda desk: desk.state)
    await in_thread(erase, shop)
    assert await desk.closed() == 4404


def erase(client: Client) -> None:
    with client_scope(client.pk):
        Session.objects.all().delete()
