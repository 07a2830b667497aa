"""The doors that Channels serves, with a stranger's document that answers the very question that is asked."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from channels.routing import URLRouter
from channels.testing import HttpCommunicator, WebsocketCommunicator

from billing import budgets, plans
from billing.models import UsageRecord
from chat import answers, caretaker, routing, tapes
from chat.models import Message, Session
from chat.tape import Event
from tenants.models import Client
from tenants.scoping import client_scope
from tenants.threads import in_thread
from tenants.visitors import session_token
from tests.isolation.rows import canary
from tests.isolation.table import CONSUMERS, Route
from tests.isolation.world import Ids, World, build
from tests.knowledge.test_search import learn

pytestmark = pytest.mark.django_db(transaction=True)
http = URLRouter(routing.http_routes)
sockets = URLRouter(routing.websocket_routes)
QUESTION = "At what time does the lighthouse kitchen open?"


@pytest.fixture
def world(transactional_db: None, acme: Client, stranger: Client) -> World:
    world = build(acme, stranger)
    learn(acme, "kitchen", f"The lighthouse kitchen opens at six o'clock. {canary(acme)}")
    learn(stranger, "garden", "The garden has many roses.")
    return world


async def request(route: Route, path: str, body: Any, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    content = json.dumps(body).encode() if body is not None else b""
    communicator = HttpCommunicator(http, route.method, path, content, raw)
    response = await communicator.get_response(timeout=30)
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(5)
    told = {name.decode().lower(): value.decode() for name, value in response["headers"]}
    return response["status"], told, response["body"].decode()


def seen(answer: tuple[int, dict[str, str], str], *ids: str) -> str:
    """What a caller can tell apart: without what differs every time, and without its own ids."""
    status, headers, text = answer
    kept = {k: v for k, v in headers.items() if k not in ("x-request-id",) and not k.startswith("x-ratelimit")}
    text = re.sub(r'"(traceId|sessionToken)": ?"[^"]*"', r'"\1":"…"', text)
    text = re.sub(r"^id: ?.*$", "", text, flags=re.M)
    whole = f"{status} {sorted(kept.items())} {text}"
    for id in ids:
        whole = whole.replace(id, "#")
    return whole


def bodies(ids: Ids, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same question with another client's ids wherever one can stand."""
    session = {"sessionId": ids["session"]}
    yield body | session
    yield body | session | {"clientId": ids["client"]}
    yield body | session | {"client_id": ids["client"], "client": {"id": ids["client"]}, "documentId": ids["document"]}
    yield body | session | {"clientId": [ids["client"]]}
    yield body | {"sessionId": [ids["session"]]}
    yield body | session | {"metadata": {"customFields": {"clientId": ids["client"], "documents": [ids["document"]]}}}
    yield body | session | {"traceId": ids["trace"]}


def attempts(world: World, ids: Ids, route: Route, caller: str) -> Iterator[tuple[str, Any, dict[str, str]]]:
    """With Acme's own session token, and with an invented one. Express may act for any client and names the one it
    acts for, here the stranger; so that is no place for another client's id."""
    headers = world.callers[caller]
    internal = caller.startswith("internal")
    named = str(world.stranger.pk) if internal else ids["client"]
    tokens = (session_token(world.acme.pk, uuid.UUID(ids["session"])), "x" * 64)
    path = route.path.replace("{trace}", ids["trace"]).replace("{session}", ids["session"])
    for token in tokens:
        extra = {"X-Session-Token": token, "Last-Event-ID": "0"}
        if route.body is None:
            yield path, None, headers | extra
            yield f"{path}?after=0&clientId={named}", None, headers | extra
            continue
        for body in bodies(ids, {"message": QUESTION}):
            if internal:
                body = body | {"clientId": named}
            yield path, body, headers | extra


async def test_another_clients_ids_open_nothing(world: World) -> None:
    record = tapes.make(world.acme.pk, uuid.UUID(world.foreign["session"]), uuid.UUID(world.foreign["trace"]))
    record.append(Event("chunk", canary(world.acme)))
    before = await in_thread(conversations, world.acme)
    made = 0
    for route in CONSUMERS:
        for caller in world.callers:
            pairs = zip(
                attempts(world, world.foreign, route, caller), attempts(world, world.absent, route, caller), strict=True
            )
            for foreign, absent in pairs:
                answer = await request(route, *foreign)
                same = await request(route, *absent)
                mine, others = (list(ids.values()) for ids in (world.foreign, world.absent))
                assert seen(answer, *long(mine)) == seen(same, *long(others)), (route, caller, foreign)
                assert canary(world.acme) not in answer[2].replace(world.foreign["document"], "#")
                made += 2
    assert await in_thread(conversations, world.acme) == before
    assert made > 500


async def test_a_foreign_id_makes_the_doors_ask_what_one_that_nobody_has_makes_them_ask(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same statements, so it takes the same time, whatever the clock says."""
    tapes.make(world.acme.pk, uuid.UUID(world.foreign["session"]), uuid.UUID(world.foreign["trace"]))
    monkeypatch.setattr(caretaker, "start", lambda: None)  # its rounds would be among the statements
    for remembered in (
        "tenants.callers.REMEMBER_SECONDS",
        "billing.budgets.REMEMBER_SECONDS",
        "billing.plans.REMEMBER_SECONDS",
        "tenants.threads.REST_SECONDS",
        "chat.watch.CHECK_SECONDS",
    ):
        monkeypatch.setattr(remembered, 3600)
    plans.forget()
    budgets.forget()
    told, asked = 0, list[str]()
    listen_to(asked, monkeypatch)
    for route in CONSUMERS:
        for caller in ("stranger's publishable key", "stranger's secret key", "internal for the stranger"):
            kinds = [list(attempts(world, ids, route, caller)) for ids in (world.absent, world.foreign)]
            path, body, headers = kinds[0][0]
            plain = {name: value for name, value in (body or {}).items() if name in ("message", "clientId")}
            await request(route, path, plain or None, headers)  # whatever is remembered from the first time on
            for absent, foreign in zip(*kinds, strict=True):
                heard = []
                for attempt in (absent, foreign):
                    asked.clear()
                    await request(route, *attempt)
                    await answers.finish_all(5)
                    heard.append(sorted(asked))  # the search goes on beside the rows
                assert heard[0] == heard[1], (route, caller, foreign)
                told += len(heard[0])
    assert told > 300


def listen_to(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what is asked of PostgreSQL, in whatever thread."""
    execute = psycopg.Cursor.execute

    def noted(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        if "set_config" not in str(query):  # a connection is new now and then
            asked.append(re.sub(r"'[^']*'|\b[0-9]+\b", "#", str(query)))
        return execute(cursor, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)


def long(ids: list[str]) -> list[str]:
    return [id for id in ids if not id.isdigit()]


def conversations(client: Client) -> Any:
    with client_scope(client.pk):
        return [list(model.objects.order_by("pk").values()) for model in (Session, Message)]


async def test_the_owner_is_answered_from_the_document_under_attack(world: World) -> None:
    status, _, text = await request(CONSUMERS[0], "/api/widget/chat", {"message": QUESTION}, world.own["publishable"])
    assert status == 200 and "six o'clock" in text


async def test_two_clients_with_the_same_session_id_have_two_sessions(world: World) -> None:
    session = world.foreign["session"]
    status, _, text = await request(
        CONSUMERS[0],
        "/api/widget/chat",
        {"message": QUESTION, "sessionId": session},
        world.callers["stranger's publishable key"],
    )
    answer = json.loads(text)
    assert (status, answer["sessionId"]) == (200, session)
    assert answer["sessionToken"] == session_token(world.stranger.pk, uuid.UUID(session))
    assert answer["sessionToken"] != session_token(world.acme.pk, uuid.UUID(session))


async def test_a_request_id_that_another_client_used_changes_nothing(world: World) -> None:
    """X-Request-ID is the caller's to choose: both are answered, and both pay."""
    chosen = {"X-Request-ID": str(uuid.uuid4())}
    for client, headers in (
        (world.acme, world.own["publishable"]),
        (world.stranger, world.callers["stranger's publishable key"]),
    ):
        before = await in_thread(billed, client)
        status, _, text = await request(CONSUMERS[0], "/api/widget/chat", {"message": QUESTION}, headers | chosen)
        assert status == 200, text
        assert await in_thread(billed, client) == before + 1


def billed(client: Client) -> int:
    with client_scope(client.pk):
        return UsageRecord.objects.filter(kind="chat").count()


async def test_a_repeated_request_is_not_answered_with_another_clients_answer(world: World) -> None:
    """Both clients' requests carry one X-Request-ID, as a proxy in front of both may give them."""
    chosen = {"X-Request-ID": str(uuid.uuid4())}
    stranger = world.callers["stranger's publishable key"] | chosen | {"Idempotency-Key": "once"}
    body = {"message": QUESTION, "sessionId": str(uuid.uuid4())}
    _, _, first = await request(CONSUMERS[0], "/api/widget/chat", body, stranger)
    await request(CONSUMERS[0], "/api/widget/chat", {"message": QUESTION}, world.own["publishable"] | chosen)
    _, _, repeated = await request(CONSUMERS[0], "/api/widget/chat", body, stranger)
    assert "six o'clock" not in repeated
    assert json.loads(repeated)["response"] == json.loads(first)["response"]


async def test_the_socket_opens_nothing_of_another_client(world: World) -> None:
    told = {}
    for name, ids in (("foreign", world.foreign), ("absent", world.absent)):
        for caller in (
            "stranger's publishable key",
            "wrong publishable key",
            "malformed key",
            "paused publishable key",
            "nobody",
        ):
            told[name, caller] = await talk(world, caller, ids)
    for (name, caller), heard in told.items():
        assert canary(world.acme) not in str(heard)
        assert heard == told["absent", caller], (name, caller)
    assert told["foreign", "stranger's publishable key"][-1]["event"] == "done"


async def talk(world: World, caller: str, ids: Ids) -> list[Any]:
    """Authenticate with another client's session and its token, ask, and tell what was heard."""
    socket = WebsocketCommunicator(sockets, "/ws/widget/chat")
    await socket.connect()
    token = session_token(world.acme.pk, uuid.UUID(ids["session"]))
    auth = {"apiKey": world.callers[caller].get("X-Api-Key"), "sessionId": ids["session"], "sessionToken": token}
    heard: list[Any] = []
    for message in (
        {"type": "auth", **auth},
        {"type": "ask", "id": "1", "message": QUESTION, "clientId": ids["client"]},
    ):
        await socket.send_json_to(message)
        heard += await listen(socket)
    await socket.disconnect()
    return [
        json.loads(
            re.sub(r'"(traceId|sessionToken)": "[^"]*"', '"": ""', json.dumps(event)).replace(ids["session"], "#")
        )
        for event in heard
    ]


async def listen(socket: WebsocketCommunicator) -> list[Any]:
    heard = []
    while not heard or (isinstance(heard[-1], dict) and heard[-1].get("event") not in ("ready", "done", "error")):
        output = await socket.receive_output(timeout=20)
        heard.append(
            json.loads(output["text"]) if "text" in output else {"event": "error", "close": output.get("code")}
        )
    return heard
