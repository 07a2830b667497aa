"""Three doors, one answer; and what each door tells those whom it does not let in."""

import asyncio
import contextlib
import functools
import json
import uuid
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import AsyncClient
from pytest_django import Settings

from chat import answers, door, frames, watch
from chat.models import Session
from chat.tape import Event
from chat.workflow import log
from tenants import callers, keys
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope
from tenants.threads import in_thread
from tests.chat.conversation import ORIGIN, QUESTION, Socket, books, call, chat, leaving, pieces_of, stored, stream
from tests.contracts.llm_server import HANG, LlmServer, Reply, cut, openai_events, paced

pytestmark = pytest.mark.django_db(transaction=True)

AWKWARD = [
    "You ",
    "have",
    " 60",
    " days 👟",
    "\r",
    "\n",
    "42",
    "\n",
    "true",
    "\n\n",
    '{"a": 1}',
    "",
    " é漢字",
    "\n[",
    "1]",
    ".",
]


async def test_all_doors_say_the_same_and_it_is_what_is_stored(
    shop: Client, acme_key: str, provider: LlmServer
) -> None:
    provider.script(cut(openai_events(AWKWARD), 7))
    whole = (await chat(acme_key)).json
    streamed = await stream(acme_key)
    socket = Socket()
    assert await socket.open()
    await socket.auth(acme_key)
    await socket.say(type="ask", id="q", message=QUESTION)
    heard = (await socket.answers("q"))["q"]
    await socket.wire.disconnect()
    assert set(whole) >= {"response"}, whole
    texts = [whole["response"], streamed.text, "".join(e["data"] for e in heard if e["event"] == "chunk")]
    rows = await stored(shop)
    assert texts == [row.text for row in rows] and len(set(texts)) == 1
    assert "60 days 👟\n42\ntrue\n\n" in texts[0]
    names = [name for name, _ in streamed.events]
    assert names[0] == "start" and names[-3:] == ["sources", "usage", "done"]
    assert [event["event"] for event in heard] == names
    assert [event["eventId"] for event in heard] == [str(number + 1) for number in range(len(names))]
    assert heard[-3]["data"] == whole["sources"] == rows[0].sources
    assert heard[-2]["data"] == whole["usage"]
    assert [record.request_id for record in (await books(shop))[0]] == [str(row.trace_id) for row in rows]


async def test_shape_of_a_whole_answer(shop: Client, acme_key: str, provider: LlmServer) -> None:
    session = str(uuid.uuid4())
    reply = await chat(
        acme_key, {"message": QUESTION, "sessionId": session, "metadata": {"userAgent": "x"}}, origin=ORIGIN
    )
    answer = reply.json
    assert set(answer) == {"response", "sessionId", "traceId", "sources", "usage", "sessionToken"}
    assert (answer["response"], answer["sessionId"]) == ("You have 60 days [1].", session)
    assert answer["usage"] == {"promptTokens": 812, "completionTokens": 96, "totalTokens": 908, "cached": False}
    assert {"documentId", "title", "excerpt", "score", "chunkIndex"} <= set(answer["sources"][0])
    assert reply.headers["x-request-id"] == answer["traceId"]
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert int(reply.headers["x-ratelimit-remaining"]) == int(reply.headers["x-ratelimit-limit"]) - 1
    assert int(reply.headers["x-ratelimit-reset"]) > 1_700_000_000


async def test_headers_of_a_stream_and_ids_of_its_events(shop: Client, acme_key: str, provider: LlmServer) -> None:
    trace = str(uuid.uuid4())
    reply = await stream(acme_key, x_request_id=trace)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
    assert (reply.headers["cache-control"], reply.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= set(reply.headers)
    assert reply.headers["x-request-id"] == trace and trace in reply.events[0][1]
    ids = [line.partition(": ")[2] for line in reply.body.decode().split("\n") if line.startswith("id: ")]
    assert ids == [str(number + 1) for number in range(len(reply.events))]


async def test_a_trace_id_used_before_gives_way(shop: Client, acme_key: str, provider: LlmServer) -> None:
    trace = str(uuid.uuid4())
    replies = [await chat(acme_key, x_request_id=trace) for _ in range(2)]
    first, second = [reply.json for reply in replies]
    assert first["traceId"] == trace != second["traceId"]
    assert [reply.headers["x-request-id"] for reply in replies] == [trace, trace]  # the request's own, whatever answers
    assert len((await books(shop))[0]) == 2


BAD = {
    "no JSON": (b"{", "INVALID_REQUEST"),
    "no UTF-8": (b'{"message": "\xff"}', "INVALID_REQUEST"),
    "no object": (b"[1]", "INVALID_REQUEST"),
    "deep": (b"[" * 60_000, "INVALID_REQUEST"),
    "no message": (b"{}", "INVALID_REQUEST"),
    "empty": (b'{"message": ""}', "INVALID_REQUEST"),
    "blank": (b'{"message": "  "}', "INVALID_REQUEST"),
    "too long": (b'{"message": "' + b"a" * 2001 + b'"}', "INVALID_REQUEST"),
    "no text": (b'{"message": {"a": 1}}', "INVALID_REQUEST"),
    "a number for text": (b'{"message": 42}', "INVALID_REQUEST"),
    "no number": (b'{"message": NaN}', "INVALID_REQUEST"),
    "too large a number": (b'{"message": "a", "metadata": {"customFields": {"n": 1e999}}}', "INVALID_REQUEST"),
    "NUL": (b'{"message": "a\\u0000"}', "INVALID_REQUEST"),
    "half a surrogate": (b'{"message": "\\ud800"}', "INVALID_REQUEST"),
    "no session id": (b'{"message": "a", "sessionId": "x"}', "INVALID_REQUEST"),
    "everybody's session id": (b'{"message": "a", "sessionId": 12345}', "INVALID_REQUEST"),
    "metadata": (b'{"message": "a", "metadata": []}', "INVALID_REQUEST"),
    "surrogate in metadata": (b'{"message": "a", "metadata": {"customFields": {"a": "\\ud800"}}}', "INVALID_REQUEST"),
    "NUL in metadata": (b'{"message": "a", "metadata": {"customFields": {"a\\u0000": "b"}}}', "INVALID_REQUEST"),
    "too large": (b'{"message": "a", "metadata": {"userAgent": "' + b"a" * 70_000 + b'"}}', "FILE_TOO_LARGE"),
}


async def test_malformed_requests_are_refused_in_words_and_not_counted(shop: Client, acme_key: str) -> None:
    for path in ("/api/widget/chat", "/api/widget/chat/stream"):
        for name, (body, code) in BAD.items():
            reply = await call("POST", path, body, x_api_key=acme_key)
            assert reply.json["error"]["code"] == code, name
            assert reply.status == (413 if code == "FILE_TOO_LARGE" else 400), name
            assert reply.json["message"] == reply.json["error"]["message"] != ""
            assert reply.headers["x-request-id"] == reply.json["traceId"]
    assert await books(shop) == ([], 0) and await stored(shop) == []


async def test_what_a_page_says_of_itself_costs_no_answer(shop: Client, acme_key: str, provider: LlmServer) -> None:
    metadata = {"userAgent": None, "pageUrl": "https://shop.example.com/?q=" + "x" * 3000, "customFields": None}
    reply = await chat(acme_key, {"message": QUESTION, "sessionId": "", "metadata": metadata})
    assert reply.status == 200
    session = await in_thread(_session, shop, reply.json["sessionId"])
    assert session.metadata == metadata | {"pageUrl": metadata["pageUrl"][:2000]}
    assert (await chat(acme_key, {"message": QUESTION, "metadata": None})).status == 200


async def test_a_visitor_reads_what_is_wrong_in_a_sentence(shop: Client, acme_key: str) -> None:
    long = await chat(acme_key, {"message": "a" * 2001})
    assert long.json["message"] == "The message is too long: at most 2000 characters can be sent."
    assert (await chat(acme_key, {"message": None})).json["message"] == "The message is missing."


async def test_2000_characters_are_a_question(shop: Client, acme_key: str, provider: LlmServer) -> None:
    assert (await chat(acme_key, {"message": "boots é" * 285 + "12345"})).status == 200


async def test_who_is_not_let_in(shop: Client, acme_key: str) -> None:
    assert (await chat("")).error == (401, "INVALID_API_KEY")
    assert (await chat("pk_live_" + "x" * 38)).error == (401, "INVALID_API_KEY")
    _, documents = await in_thread(_mint, shop, ["documents"])
    refused = await call("POST", "/api/widget/chat", {"message": "a"}, authorization=f"Bearer {documents}")
    assert refused.error == (401, "INVALID_API_KEY")
    await in_thread(_change, shop, {"allowed_domains": ["shop.example.com"]})
    elsewhere = await stream(acme_key, origin="https://evil.example.net")
    assert elsewhere.error == (403, "DOMAIN_NOT_ALLOWED")
    assert "access-control-allow-origin" not in elsewhere.headers
    await in_thread(_change, shop, {"status": "paused"})
    paused = await stream(acme_key, origin=ORIGIN)
    assert paused.error == (403, "CLIENT_INACTIVE") and paused.headers["access-control-allow-origin"] == ORIGIN


async def test_a_key_is_looked_up_in_a_thread_and_then_remembered_a_moment(
    shop: Client, acme_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[bool] = []

    def find(digests: tuple[str, ...], found: Any = keys.find) -> Any:
        row = found(digests)
        looked_up.append(row is not None)
        return row

    monkeypatch.setattr(keys, "find", find)
    monkeypatch.setattr(callers, "REMEMBER_SECONDS", 60)
    for _ in range(3):
        _, judged = await door.judge({"x-api-key": acme_key, "origin": ORIGIN})
        assert isinstance(judged, callers.Caller) and judged.client == shop
    assert looked_up == [True]
    monkeypatch.setattr(callers, "REMEMBER_SECONDS", 0)
    callers.forget_callers()
    await in_thread(keys.revoke, judged.key)
    _, refused = await door.judge({"x-api-key": acme_key, "origin": ORIGIN})
    assert isinstance(refused, ApiError) and refused.code == "INVALID_API_KEY"
    assert looked_up[1:] == [False, False]  # for the response's headers and for the caller


async def test_servers_are_let_in(shop: Client, stranger: Client, provider: LlmServer, settings: Settings) -> None:
    _, key = await in_thread(_mint, shop, ["chat"])
    own = await call("POST", "/api/widget/chat", {"message": QUESTION}, authorization=f"Bearer {key}")
    assert own.status == 200 and "60" in own.json["response"]
    secret = {"x_internal_secret": settings.INTERNAL_API_SECRET}
    body = {"message": QUESTION, "clientId": str(shop.pk)}
    assert (await call("POST", "/api/widget/chat", body, **secret)).status == 200
    assert (await call("POST", "/api/widget/chat", {"message": QUESTION}, **secret)).error == (400, "INVALID_REQUEST")
    nobody = {"message": QUESTION, "clientId": str(uuid.uuid4())}
    assert (await call("POST", "/api/widget/chat", nobody, **secret)).error == (404, "NOT_FOUND")
    for unclear in ({}, [], None, ""):
        nameless = {"message": QUESTION, "clientId": unclear}
        assert (await call("POST", "/api/widget/chat", nameless, **secret)).error == (400, "INVALID_REQUEST")
    assert len(await stored(shop)) == 2 and await stored(stranger) == []


async def test_a_client_that_is_named_by_who_may_not_name_one_is_not_even_looked_at(
    shop: Client, stranger: Client, acme_key: str, provider: LlmServer
) -> None:
    _, secret = await in_thread(_mint, shop, ["chat"])
    named: list[Any] = [str(stranger.pk), "", None, 5, {}, [], {"id": str(stranger.pk)}, [str(stranger.pk)], "x" * 9000]
    for client_id in named:
        body = {"message": QUESTION, "clientId": client_id}
        assert (await chat(acme_key, body)).status == 200, client_id
    own = await call(
        "POST", "/api/widget/chat", {"message": QUESTION, "clientId": {}}, authorization=f"Bearer {secret}"
    )
    assert own.status == 200
    assert len(await stored(shop)) == len(named) + 1 and await stored(stranger) == []


async def test_methods(shop: Client, acme_key: str) -> None:
    wrong = await call("GET", "/api/widget/chat/stream", x_api_key=acme_key)
    assert wrong.error == (400, "INVALID_REQUEST") and wrong.headers["allow"] == "POST, OPTIONS"
    preflight = await call("OPTIONS", "/api/widget/chat/stream", origin=ORIGIN, access_control_request_method="POST")
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]


async def test_what_a_visitor_said_and_was_told_is_kept_by_no_cache(
    shop: Client, acme_key: str, provider: LlmServer
) -> None:
    answer = await chat(acme_key)
    session, trace, token = (answer.json[name] for name in ("sessionId", "traceId", "sessionToken"))
    headers = {"x-api-key": acme_key, "x-session-token": token}
    resumed = await call("GET", f"/api/widget/chat/stream/{trace}", **headers)
    refused = await call("GET", f"/api/widget/chat/stream/{uuid.uuid4()}", **headers)
    assert (answer.status, resumed.status, refused.status) == (200, 200, 404)
    kept = [reply.headers["cache-control"] for reply in (answer, resumed, refused)]
    assert kept == ["no-store", "no-cache, no-store", "no-store"]
    visitor, base = AsyncClient(), f"/api/widget/sessions/{session}"
    for method, path in (
        ("GET", f"{base}/messages"),
        ("GET", f"{base}/export"),
        ("POST", f"{base}/person"),
        ("DELETE", f"{base}?receipt=true"),
        ("GET", f"{base}/messages"),
    ):
        response = await visitor.generic(method, path, headers=headers)
        assert (method, path, response["Cache-Control"]) == (method, path, "no-store")
    assert response.status_code == 404


async def test_a_page_can_read_why_it_is_refused(shop: Client, acme_key: str) -> None:
    """Whatever is wrong, the answer has the headers that let an allowed page read it, and no other page."""
    await in_thread(_change, shop, {"allowed_domains": ["shop.example.com"]})
    for path in ("/api/widget/chat", "/api/widget/chat/stream"):
        for method, body, code in (("PUT", {}, "INVALID_REQUEST"), ("POST", b"x" * 70_000, "FILE_TOO_LARGE")):
            here = await call(method, path, body, x_api_key=acme_key, origin=ORIGIN)
            there = await call(method, path, body, x_api_key=acme_key, origin="https://evil.example.net")
            for reply in (here, there):
                assert (reply.json["error"]["code"], reply.headers["vary"]) == (code, "Origin")
            assert here.headers["access-control-allow-origin"] == ORIGIN
            assert "access-control-allow-origin" not in there.headers


async def test_the_hour_s_limit(shop: Client, acme_key: str, provider: LlmServer) -> None:
    await in_thread(_change, shop, {"hourly_limit": 1, "hard_cap": True})
    assert (await stream(acme_key)).status == 200
    refused = await stream(acme_key)
    assert refused.error == (429, "RATE_LIMITED") and int(refused.headers["retry-after"]) > 0
    assert refused.headers["x-ratelimit-remaining"] == "0" and "resetAt" in refused.json["error"]["details"]
    assert len((await books(shop))[0]) == 1


async def test_a_provider_that_fails_is_told_and_not_billed(shop: Client, acme_key: str, provider: LlmServer) -> None:
    provider.script(Reply([b"{}"], 400, {"content-type": "application/json"}))
    assert (await chat(acme_key)).error == (502, "LLM_ERROR")
    name, data = (await stream(acme_key)).events[-1]
    assert name == "error" and '"LLM_ERROR"' in data
    records, reserved = await books(shop)
    assert [record.failed for record in records] == [True, True] and reserved == 0
    assert [row.outcome for row in await stored(shop)] == ["failed", "failed"]


async def test_a_slow_model_ends_a_whole_answer_at_its_deadline(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings
) -> None:
    settings.ANSWER_TIMEOUT = 2  # the model must have been asked by then, on a busy machine too
    provider.script([*openai_events(["You have "], finish=None), HANG])
    assert (await chat(acme_key)).error == (504, "TIMEOUT")
    await asyncio.to_thread(provider.wait_until_left, provider.requests[0], 1.5)


async def test_the_deadline_of_a_whole_answer_counts_from_the_request_on(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[float] = []
    begin, drain = answers.begin, answers.drain

    async def slow(*args: Any) -> Any:
        await asyncio.sleep(0.3)
        return await begin(*args)

    monkeypatch.setattr(answers, "begin", slow)
    monkeypatch.setattr(answers, "drain", lambda tape, seconds: (left.append(seconds), drain(tape, seconds))[1])
    assert (await chat(acme_key)).status == 200
    assert left[0] <= settings.ANSWER_TIMEOUT - 0.3


async def test_what_fails_after_the_first_byte_is_an_event_and_the_end(
    shop: Client, acme_key: str, provider: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sse = frames.sse

    def fail(first: int, events: list[Event]) -> bytes:
        if any(event.name == "chunk" for event in events):
            raise ValueError
        return sse(first, events)

    monkeypatch.setattr(frames, "sse", fail)
    reply = await stream(acme_key)
    assert [name for name, _ in reply.events] == ["start", "error"]
    assert json.loads(reply.events[-1][1])["code"] == "PROCESSING_ERROR"


async def test_an_answer_whose_row_can_t_be_completed_has_an_end_all_the_same(
    shop: Client, acme_key: str, provider: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise ValueError

    monkeypatch.setattr(log, "complete", fail)
    monkeypatch.setattr(log, "SAVE_SECONDS", 0.1)
    reply = await stream(acme_key)
    assert (reply.text, reply.events[-1]) == ("You have 60 days [1].", ("done", "[DONE]"))
    assert [row.outcome for row in await stored(shop)] == ["running"]  # the sweeper's


async def test_who_leaves_before_the_first_byte_is_not_waited_for(
    shop: Client, acme_key: str, provider: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "FIRST_FOLLOWER_SECONDS", 3600.0)
    provider.script([*openai_events(["You "], finish=None), HANG])
    reserving = asyncio.Event()
    loop, reserve = asyncio.get_running_loop(), log.reserve
    monkeypatch.setattr(log, "reserve", lambda q: (loop.call_soon_threadsafe(reserving.set), reserve(q))[1])
    async with leaving(acme_key):
        await reserving.wait()
    for _ in range(200):
        if (rows := await stored(shop)) and rows[0].outcome != "running":
            break
        await asyncio.sleep(0.05)
    assert [row.outcome for row in rows] == ["cancelled"]


async def test_who_waits_too_long_for_the_database_is_told_so_and_no_model_is_asked(
    shop: Client, acme_key: str, provider: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BEGIN_SECONDS", 0.5)
    asking = {"body": {"message": "Boots?"}, "idempotency_key": "k"}
    with psycopg.connect(**connection.get_connection_params()) as slow:
        slow.execute("SELECT 1 FROM tenants_client WHERE id = %s FOR UPDATE", [shop.pk])
        refused = await chat(acme_key, **asking)
        assert refused.error == (503, "SERVICE_UNAVAILABLE") and int(refused.headers["retry-after"]) > 0
    for _ in range(100):
        rows = await stored(shop)
        if rows and rows[0].outcome != "running":
            break
        await asyncio.sleep(0.05)
    assert [(row.outcome, row.error_code) for row in rows] == [("failed", "SERVICE_UNAVAILABLE")]
    records, reserved = await books(shop)
    assert (provider.requests, [record.failed for record in records], reserved) == ([], [True], 0)
    monkeypatch.undo()
    assert (await chat(acme_key, **asking)).status == 200
    assert [row.outcome for row in await stored(shop)] == ["failed", "answered"]


@pytest.mark.parametrize("left_after", [1, 2, 5])
async def test_who_leaves_stops_the_model_and_pays_for_what_was_said(
    shop: Client, acme_key: str, provider: LlmServer, left_after: int
) -> None:
    said = [f"word{number} " for number in range(40)]
    provider.script(paced(openai_events(said), 0.01, 0.03))
    async with leaving(acme_key) as visitor:
        await pieces_of(visitor, left_after)
    await asyncio.to_thread(provider.wait_until_left, provider.requests[0], 1.5)
    for _ in range(50):
        (row,) = await stored(shop)
        if row.outcome != "running":
            break
        await asyncio.sleep(0.05)
    assert row.outcome == "cancelled" and "".join(said).startswith(row.text) and row.text
    (record,), reserved = await books(shop)
    assert (record.exact, record.failed, reserved) == (False, False, 0)
    assert record.completion_tokens <= 3 * provider.requests[0].sent_steps


async def test_answers_at_once_are_limited(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings
) -> None:
    settings.VISITOR_ANSWERS_AT_ONCE = 1
    session = {"message": QUESTION, "sessionId": str(uuid.uuid4())}
    provider.script(paced(openai_events(["You "] * 20), 0.01, 0.05))
    async with leaving(acme_key, session) as first:
        await pieces_of(first, 1)
        second = await stream(acme_key, session)
        assert second.error == (429, "RATE_LIMITED") and second.headers["retry-after"]
        assert list(second.json["error"]["details"]) == ["resetAt"]
        assert (await call("POST", "/api/widget/chat", {"message": "hello"}, x_api_key=acme_key)).status == 200


async def test_a_revoked_key_ends_its_streams(shop: Client, acme_key: str, provider: LlmServer) -> None:
    provider.script([*openai_events(["You have ", "60 "], finish=None), HANG])
    async with leaving(acme_key) as visitor:
        received = await pieces_of(visitor, 1)
        await in_thread(_revoke, acme_key)
        async with asyncio.timeout(2):
            while b"event: error" not in received:
                received += (await visitor.receive_output(3))["body"]
    assert b"INVALID_API_KEY" in received


async def test_a_revoked_key_ends_a_whole_answer_too(shop: Client, acme_key: str, provider: LlmServer) -> None:
    provider.script([*openai_events(["You have ", "60 "], finish=None), HANG])
    answer = asyncio.create_task(chat(acme_key))
    await asyncio.to_thread(provider.wait_for_requests, 1)
    await in_thread(_revoke, acme_key)
    async with asyncio.timeout(3):  # 2, and a busy machine
        assert (await answer).error == (401, "INVALID_API_KEY")
    await asyncio.to_thread(provider.wait_until_left, provider.requests[0], 1.5)


async def test_only_those_who_may_not_ask_any_more_are_ended(
    shop: Client, stranger: Client, acme_key: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key by itself, Express with its client; also after a time when nobody asked, and one without the database."""
    monkeypatch.setattr(watch, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(callers, "REMEMBER_SECONDS", 0)
    row, key = await in_thread(_mint, shop, ["chat"])
    headers = {
        "widget": {"x-api-key": acme_key},
        "server": {"authorization": f"Bearer {key}"},
        "express": {"x-internal-secret": settings.INTERNAL_API_SECRET},
        "stranger": {"authorization": f"Bearer {(await in_thread(_mint, stranger, ['chat']))[1]}"},
    }
    who = {name: await in_thread(callers.authenticate, sent) for name, sent in headers.items()}
    rounds: list[int] = []
    ended: asyncio.Queue[str] = asyncio.Queue()

    def gone(asked: list[watch.Watched], gone: Any = watch._gone) -> set[watch.Watched]:
        rounds.append(len(asked))
        if len(rounds) == 1:
            raise psycopg.OperationalError
        return gone(asked)

    monkeypatch.setattr(watch, "_gone", gone)
    with watch.watching(who["widget"], shop.pk, lambda: None):
        pass
    await asyncio.wait({watch._tasks[asyncio.get_running_loop()]}, timeout=10)
    with contextlib.ExitStack() as watching:
        for name, caller in who.items():
            client = stranger if name == "stranger" else shop
            watching.enter_context(watch.watching(caller, client.pk, functools.partial(ended.put_nowait, name)))
        async with asyncio.timeout(10):
            await in_thread(keys.revoke, row)
            assert await ended.get() == "server"
            await in_thread(_change, shop, {"status": "paused"})
            assert {await ended.get(), await ended.get()} == {"widget", "express"}
    assert ended.empty() and rounds[:2] == [4, 4]


def _mint(client: Client, scopes: list[str]) -> tuple:
    return keys.mint(client.pk, "secret", scopes=scopes)


def _change(client: Client, values: dict) -> None:
    Client.objects.filter(pk=client.pk).update(**values)
    callers.forget_callers()


def _revoke(key: str) -> None:
    keys.revoke(keys.find(keys.digests(key)))


def _session(client: Client, session_id: str) -> Session:
    with client_scope(client.pk):
        return Session.objects.get(session_id=session_id)
