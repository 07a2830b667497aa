"""A question is answered and billed once, however often it is sent and whatever dies in between."""

import asyncio
import json
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat import answers, door, sweeper, tapes
from chat.models import Message
from chat.tape import Event
from chat.tapes.connection import DEADLINE
from chat.tapes.house import house
from chat.tapes.recorder import Recorder
from chat.tapes.records import PROCESS, fields_of, key_of
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope
from tenants.threads import in_thread
from tenants.visitors import session_token
from tests.chat.conversation import QUESTION, books, call, chat, leaving, pieces_of, stored, stream
from tests.contracts.llm_server import HANG, RESET, LlmServer, openai_events, paced

pytestmark = pytest.mark.django_db(transaction=True)


async def test_the_same_key_replays_the_answer_and_is_billed_once(
    shop: Client, acme_key: str, stranger_key: str, provider: LlmServer
) -> None:
    first = await chat(acme_key, idempotency_key="k")
    again = await chat(acme_key, idempotency_key="k")
    streamed = await stream(acme_key, idempotency_key="k")
    assert first.status == 200 and again.json == first.json and streamed.text == first.json["response"]
    assert {reply.headers["x-ratelimit-remaining"] for reply in (first, again, streamed)} == {"999"}  # a replay is free
    assert (await chat(acme_key, {"message": "Another?"}, idempotency_key="k")).error == (409, "IDEMPOTENCY_CONFLICT")
    assert len((await books(shop))[0]) == len(await stored(shop)) == len(provider.requests) == 1
    fresh = await chat(acme_key, idempotency_key="other")
    assert int(first.headers["x-ratelimit-remaining"]) - int(fresh.headers["x-ratelimit-remaining"]) == 1
    assert (await chat(stranger_key, {"message": "Another?"}, idempotency_key="k")).status == 200


async def test_an_answer_whose_process_died_before_it_wrote_down_the_end_is_repeated_from_its_row(
    shop: Client, acme_key: str, provider: LlmServer
) -> None:
    first = await chat(acme_key, idempotency_key="k")
    trace_id = uuid.UUID(first.json["traceId"])
    house().tapes.clear()
    await tapes.client().delete(key_of(shop.pk, trace_id))
    begun = fields_of([Event("start", {}), Event("chunk", "You have")])
    owner = {"owner": "dead", "session": first.json["sessionId"]}
    await tapes.client().xadd(key_of(shop.pk, trace_id), begun | owner, id="2-0")
    again = await chat(acme_key, idempotency_key="k")
    assert (again.status, again.json) == (200, first.json)
    assert len((await books(shop))[0]) == len(provider.requests) == 1


async def test_a_full_hour_still_repeats_what_was_answered(shop: Client, acme_key: str, provider: LlmServer) -> None:
    await in_thread(lambda: Client.objects.filter(pk=shop.pk).update(hourly_limit=1, hard_cap=True))
    first = await chat(acme_key, idempotency_key="k")
    again = await chat(acme_key, idempotency_key="k")
    assert (first.status, again.status) == (200, 200) and again.json == first.json
    assert (again.headers["x-ratelimit-limit"], again.headers["x-ratelimit-remaining"]) == ("1", "0")
    assert (await chat(acme_key, idempotency_key="another")).error == (429, "RATE_LIMITED")
    assert (await chat(acme_key)).error == (429, "RATE_LIMITED")


async def test_a_key_can_be_used_anew_after_a_day(shop: Client, acme_key: str, provider: LlmServer) -> None:
    await chat(acme_key, idempotency_key="k")
    await in_thread(_age, shop, timedelta(hours=25))
    other = await chat(acme_key, idempotency_key="other")
    assert (await chat(acme_key, {"message": "Another?"}, idempotency_key="k")).status == 200
    assert (await chat(acme_key, idempotency_key="other")).json == other.json  # that one is no older
    assert len((await books(shop))[0]) == 3


@pytest.mark.usefixtures("each_redis")
async def test_a_repetition_joins_the_running_answer(shop: Client, acme_key: str, provider: LlmServer) -> None:
    provider.script(paced(openai_events(["You ", "have ", "60 ", "days."]), 0.05, 0.2))
    first, second = await asyncio.gather(stream(acme_key, idempotency_key="k"), stream(acme_key, idempotency_key="k"))
    assert first.body == second.body and first.text == "You have 60 days."
    assert len((await books(shop))[0]) == len(provider.requests) == 1


async def test_a_key_too_long_or_empty_is_refused(shop: Client, acme_key: str) -> None:
    for key in ("", "k" * 256):
        assert (await chat(acme_key, idempotency_key=key)).error == (400, "INVALID_REQUEST")


async def test_what_failed_after_it_was_billed_is_made_again_for_nothing(
    shop: Client, acme_key: str, provider: LlmServer
) -> None:
    provider.script([*openai_events(["You have "], finish=None), RESET], openai_events(["60 days [1]."]))
    failed = await stream(acme_key, idempotency_key="k")
    assert failed.events[-1][0] == "error"
    whole = await chat(acme_key, idempotency_key="k")
    assert whole.json["response"] == "60 days [1]."
    assert failed.headers["x-ratelimit-remaining"] == whole.headers["x-ratelimit-remaining"] == "999"
    (row,), (records, reserved) = await stored(shop), await books(shop)
    assert (row.outcome, row.text, reserved) == ("answered", "60 days [1].", 0)
    assert [record.failed for record in records] == [False]


async def test_what_a_restart_cut_short_is_made_again_for_nothing(
    shop: Client, acme_key: str, provider: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.script([*openai_events(["You have "], finish=None), HANG], openai_events(["60 days [1]."]))
    asked = asyncio.create_task(stream(acme_key, idempotency_key="k"))
    await asyncio.to_thread(provider.wait_for_requests, 1, 20)
    for _ in range(500):
        if any(event.name == "chunk" for tape in tapes.running() for event in tape.events):
            break
        await asyncio.sleep(0.02)
    with monkeypatch.context() as ending:
        ending.setattr(door, "closing", True)
        await answers.finish_all(0)
        name, data = (await asked).events[-1]
    assert (name, json.loads(data)["code"]) == ("error", "SERVICE_UNAVAILABLE")
    assert (await chat(acme_key, idempotency_key="k")).json["response"] == "60 days [1]."
    assert ([row.outcome for row in await stored(shop)], len((await books(shop))[0])) == (["answered"], 1)


async def test_what_is_made_again_belongs_to_the_session_that_it_began(
    shop: Client, acme_key: str, provider: LlmServer
) -> None:
    provider.script([*openai_events(["You have "], finish=None), RESET], openai_events(["60 days [1]."]))
    failed, whole = [await stream(acme_key, {"message": QUESTION}, idempotency_key="k") for _ in range(2)]
    starts = [json.loads(reply.events[0][1]) for reply in (failed, whole)]
    assert starts[0] == starts[1] and whole.text == "60 days [1]."
    (row,) = await stored(shop)
    assert str(await in_thread(_session, row)) == starts[1]["sessionId"]


async def test_what_is_billed_is_made_again_in_a_full_hour_too(
    shop: Client, acme_key: str, provider: LlmServer
) -> None:
    await in_thread(lambda: Client.objects.filter(pk=shop.pk).update(hourly_limit=1, hard_cap=True))
    provider.script([*openai_events(["You have "], finish=None), RESET], openai_events(["60 days [1]."]))
    assert (await stream(acme_key, idempotency_key="k")).events[-1][0] == "error"
    assert (await chat(acme_key, idempotency_key="another")).error == (429, "RATE_LIMITED")
    assert (await chat(acme_key, idempotency_key="k")).json["response"] == "60 days [1]."
    assert [record.failed for record in (await books(shop))[0]] == [False]


@pytest.mark.usefixtures("each_redis")
async def test_resuming_gives_the_rest_to_who_may_have_it(
    shop: Client, stranger: Client, acme_key: str, stranger_key: str, provider: LlmServer
) -> None:
    whole = await stream(acme_key)
    start = dict(whole.events)["start"]
    answer = (await stored(shop))[0]
    token = {"x_session_token": session_token(shop.pk, await in_thread(_session, answer))}
    path = f"/api/widget/chat/stream/{answer.trace_id}"
    for after in range(len(whole.events) + 1):
        for sent in ({"last_event_id": str(after)}, {}):
            query = "" if sent else f"?after={after}"
            rest = await call("GET", path + query, x_api_key=acme_key, **token, **sent)
            assert rest.body == b"\n\n".join(whole.body.split(b"\n\n")[after:])
    theirs = {"x_session_token": session_token(stranger.pk, await in_thread(_session, answer))}
    for key, proof in ((stranger_key, theirs), (stranger_key, token), (acme_key, theirs), (acme_key, {})):
        assert (await call("GET", path, x_api_key=key, **proof)).error == (404, "NOT_FOUND")
    beyond = str(len(whole.events) + 1)
    for other in ("-1", "+1", "1.0", "1e1", "x", "٣", "9" * 30, beyond):
        refused = await call("GET", path, x_api_key=acme_key, **token, last_event_id=other)
        assert refused.error == (400, "INVALID_REQUEST"), other
    unknown = f"/api/widget/chat/stream/{uuid.uuid4()}"
    assert (await call("GET", unknown, x_api_key=acme_key, **token)).error == (404, "NOT_FOUND")
    assert str(answer.trace_id) in start


@pytest.mark.usefixtures("each_redis")
async def test_an_answer_whose_process_died_is_closed_and_billed_as_far_as_known(
    shop: Client, acme_key: str, provider: LlmServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed process leaves: a row, a reservation, and what it wrote to Redis."""
    settings.ABANDONED_SECONDS = 60
    monkeypatch.setattr(sweeper, "YOUNGEST", timedelta(0))
    provider.script(paced(openai_events(["You have ", "60 days ", "or "] + ["more "] * 100), 0.01, 0.1))
    async with leaving(acme_key) as visitor:
        await pieces_of(visitor, 2)
        redis = tapes.client()
        (tape,) = tapes.running()
        assert await sweeper.sweep() == 0  # it lives
        tape.events[-1:] = []  # from here on as another process sees it
        house().tapes.clear()
        monkeypatch.setattr("chat.tapes.records.PROCESS", "another")
        await redis.delete(*[key async for key in redis.scan_iter("alive:*")])
        assert await sweeper.sweep() == 1
    (row,), (records, reserved) = await stored(shop), await books(shop)
    assert (row.outcome, row.error_code) == ("failed", "SERVICE_UNAVAILABLE")
    assert row.text.startswith("You have") and reserved == 0
    (record,) = records
    assert not record.exact and not record.failed and record.prompt_tokens > 100 and record.completion_tokens > 0
    last = await tapes.find(shop.pk, row.trace_id)
    assert last is not None and last.events[-1] == tapes.interrupted(row.trace_id)
    assert await sweeper.sweep() == 0


@pytest.mark.usefixtures("each_redis")
async def test_a_followed_answer_of_a_dead_process_ends_with_an_error(shop: Client, settings: Settings) -> None:
    """The follower's own process finds out, within seconds."""
    trace_id, session_id = uuid.uuid4(), uuid.uuid4()
    fields = {"events": '[["start", {}], ["chunk", "You"]]', "owner": "dead", "session": str(session_id)}
    await tapes.client().xadd(f"tape:{shop.pk}:{trace_id}", fields, id="2-0")
    tape = await tapes.find(shop.pk, trace_id)
    assert tape is not None and tape.session_id == session_id
    async with asyncio.timeout(10):
        heard = [event async for _, events in tape.follow() for event in events]
    assert heard == [Event("start", {}), Event("chunk", "You"), tapes.interrupted(trace_id)]


@pytest.mark.usefixtures("each_redis")
async def test_a_record_is_read_as_it_was_said_whatever_was_written_twice_or_lost(shop: Client) -> None:
    """A write whose confirmation came too late is repeated with what came since; a flush takes entries away."""
    redis, start = tapes.client(), {"owner": "dead", "session": str(uuid.uuid4())}
    said = [Event(name, data) for name, data in (("start", {}), ("chunk", "a"), ("chunk", "b"), ("done", "[DONE]"))]

    async def read(*entries: tuple[int, int, dict[str, str]]) -> list[Event] | None:
        trace_id = uuid.uuid4()
        for first, last, more in entries:
            fields = fields_of(said[first - 1 : last]) | more
            await redis.xadd(key_of(shop.pk, trace_id), fields, id=f"{last}-0")
        record = await tapes.read(shop.pk, trace_id)
        return record and record.events

    assert await read((1, 2, start), (3, 4, {})) == said
    assert await read((1, 2, start), (2, 3, {}), (2, 4, {})) == said
    assert await read((1, 2, start), (1, 4, start)) == said
    assert await read((1, 2, start), (4, 4, {})) is None
    assert await read((3, 4, {})) is None


async def test_what_was_said_while_the_process_was_held_up_is_written_before_it_is_shown(
    shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Recorder._write

    async def held_up(recorder: Recorder, pipe: Any, grown: Any) -> None:
        monkeypatch.setattr(Recorder, "_write", write)
        time.sleep(DEADLINE + 0.3)  # noqa: ASYNC251 - the whole loop stands still, as in the first answer of a cold process
        await write(recorder, pipe, grown)

    monkeypatch.setattr(Recorder, "_write", held_up)
    said = [Event("start", {}), Event("chunk", "You"), Event("done", "[DONE]")]
    tape = tapes.make(shop.pk, uuid.uuid4(), uuid.uuid4())
    tape.append(*said[:1])
    tape.annotate({"model": "a model"})
    tape.append(*said[1:])
    async for number, heard in tape.follow():
        record = await tapes.read(shop.pk, tape.trace_id)
        assert record is not None and record.events[number - 1 :][: len(heard)] == heard
    assert (record.events, record.note, tape.note) == (said, {"model": "a model"}, {"model": "a model"})


@pytest.mark.usefixtures("each_redis")
async def test_who_follows_what_was_lost_in_between_is_told(shop: Client) -> None:
    redis, trace_id = tapes.client(), uuid.uuid4()
    key, begun = key_of(shop.pk, trace_id), [Event("start", {}), Event("chunk", "a")]
    await redis.xadd(key, fields_of(begun) | {"owner": PROCESS, "session": str(uuid.uuid4())}, id="2-0")
    tape = await tapes.find(shop.pk, trace_id)
    assert tape is not None
    async with asyncio.timeout(10):
        heard: list[Event] = []
        async for _, events in tape.follow():
            heard += events
            if len(heard) == 2:
                await redis.xadd(key, fields_of([Event("done", "[DONE]")]), id="5-0")
    assert heard == [*begun, tapes.interrupted(trace_id)]


async def test_an_answer_that_is_cut_off_is_an_error_of_the_contract(shop: Client) -> None:
    tape = tapes.make(shop.pk, uuid.uuid4(), uuid.uuid4())
    tape.append(Event("start", {}), Event("chunk", "You"))
    asyncio.get_running_loop().call_later(0.1, tape.cut)
    with pytest.raises(ApiError) as caught:
        await answers.drain(tape, 5)
    assert caught.value.code == "SERVICE_UNAVAILABLE"


def _age(client: Client, age: timedelta) -> None:
    with client_scope(client.pk):
        Message.objects.update(created=timezone.now() - age)


def _session(answer: Message) -> uuid.UUID:
    with client_scope(answer.client_id):
        return Message.objects.select_related("session").get(pk=answer.pk).session.session_id
