"""What is remembered of answers, and how they are followed in this process and from another."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
from django.conf import settings
from pytest_django import Settings

from chat import answers, sweeper, tapes
from chat.tape import KEEP_SECONDS, Event, Tape, _Bell
from chat.tapes import reader
from chat.tapes.erasure import ERASED
from chat.tapes.records import PROCESS, alive, fields_of, followed, key_of
from tenants.errors import ApiError
from tenants.models import Client
from tests.chat.conversation import call

pytestmark = pytest.mark.django_db(transaction=True)
START, DONE = Event("start", {}), Event("done", "[DONE]")
FAILED = Event("error", {"code": "LLM_ERROR", "message": "", "traceId": ""})


def said(*pieces: str) -> list[Event]:
    return [START, *(Event("chunk", piece) for piece in pieces)]


async def written(client: Client, events: list[Event], owner: str, trace_id: uuid.UUID | None = None) -> uuid.UUID:
    """An answer's record as a process that lives (unless it is called dead) writes it."""
    trace_id, redis = trace_id or uuid.uuid4(), tapes.client()
    about = {"owner": owner, "session": str(uuid.uuid4())}
    await redis.delete(key_of(client.pk, trace_id))
    await redis.xadd(key_of(client.pk, trace_id), fields_of(events) | about, id=f"{len(events)}-0")
    if owner != "dead":
        await redis.set(alive(owner), 1, px=60_000)
    return trace_id


async def found(client: Client, trace_id: uuid.UUID) -> Tape:
    tape = await tapes.find(client.pk, trace_id)
    assert tape is not None
    return tape


async def heard(tape: Tape) -> list[Event]:
    async with asyncio.timeout(15):
        return [event async for _, events in tape.follow() for event in events]


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_a_silence_is_told_of_silence_only() -> None:
    """Not of every piece to who asked for what comes after an event that is not there yet."""
    tape = Tape(*[uuid.uuid4() for _ in range(3)])
    tape.append(START)
    parts: list[list[Event]] = []

    async def follow() -> None:
        async for _, events in tape.follow(after=99):
            parts.append(events)

    follower = asyncio.create_task(follow())
    await until(lambda: tape.followed)
    for piece in ("a", "b", "c"):
        tape.append(Event("chunk", piece))
        await asyncio.sleep(0)
    tape.append(DONE)
    await follower
    assert parts == []


async def test_a_follower_that_takes_long_with_its_first_part_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rings: list[int] = []
    ring = _Bell._ring
    monkeypatch.setattr(_Bell, "_ring", lambda bell: (rings.append(1), ring(bell)))
    tape = Tape(*[uuid.uuid4() for _ in range(3)])
    tape.append(START)
    parts: AsyncIterator = tape.follow(patience=0.05)
    assert await anext(parts) == (1, [START])
    await asyncio.sleep(0.3)  # as long as a full socket lets it wait
    assert len(rings) < 10
    assert await anext(parts) == (2, [])


async def test_whose_deadline_passes_stops_no_answer_that_somebody_else_follows() -> None:
    tape = Tape(*[uuid.uuid4() for _ in range(3)])
    tape.append(*said("You"))
    tape.task = asyncio.create_task(asyncio.Event().wait())
    other = asyncio.create_task(heard(tape))
    await until(lambda: tape.followed)
    with pytest.raises(ApiError, match="too long"):
        await answers.drain(tape, 0.01)
    assert not tape.task.cancelling()
    tape.append(DONE)
    assert await other == [*said("You"), DONE]
    unfollowed = Tape(*[uuid.uuid4() for _ in range(3)])
    unfollowed.task = tape.task
    with pytest.raises(ApiError, match="too long"):
        await answers.drain(unfollowed, 0.01)
    assert not unfollowed.followed and tape.task.cancelling()


async def test_who_comes_back_and_leaves_again_stops_the_answer(settings: Settings) -> None:
    settings.ABANDONED_SECONDS = 0.2
    tape = Tape(*[uuid.uuid4() for _ in range(3)])
    tape.append(START)
    tape.task = asyncio.create_task(asyncio.Event().wait())
    for seconds in (0.0, 0.5):
        follower = tape.follow()
        assert await anext(follower) == (1, [START])
        await asyncio.sleep(seconds)
        assert not tape.task.cancelling()
        await follower.aclose()
    await asyncio.wait({tape.task}, timeout=5)
    assert tape.task.cancelled()


@pytest.mark.usefixtures("each_redis")
async def test_an_answer_that_failed_here_and_is_made_anew_elsewhere_is_followed_there(shop: Client) -> None:
    trace_id = uuid.uuid4()
    own = tapes.make(shop.pk, uuid.uuid4(), trace_id)
    own.append(*said("You"), FAILED)
    await tapes.settle(5)
    tapes.forget_later(own)
    assert await tapes.find(shop.pk, trace_id) is own
    await written(shop, said("You ", "have ", "60"), "another", trace_id)
    assert (await found(shop, trace_id)).events == said("You ", "have ", "60")
    assert not await sweeper.close(shop.pk, trace_id)  # the other one lives


@pytest.mark.usefixtures("each_redis")
async def test_an_answer_made_anew_leaves_nothing_of_the_one_before(shop: Client) -> None:
    trace_id = await written(shop, [*said("a", "b", "c", "d"), FAILED], PROCESS)
    again = tapes.make(shop.pk, uuid.uuid4(), trace_id, anew=True)
    again.append(*said("x"))
    await tapes.settle(5)
    again.append(DONE)
    await tapes.settle(5)
    record = await tapes.read(shop.pk, trace_id)
    assert record is not None and record.events == [*said("x"), DONE]


@pytest.mark.usefixtures("each_redis")
async def test_all_is_written_down_before_a_process_ends(shop: Client) -> None:
    tape = tapes.make(shop.pk, uuid.uuid4(), uuid.uuid4())
    for event in (*said("You ", "have "), DONE):
        tape.append(event)
        await asyncio.sleep(0)
    await tapes.settle(5)
    record = await tapes.read(shop.pk, tape.trace_id)
    assert record is not None and record.events == tape.events
    assert await heard(tape) == tape.events


@pytest.mark.usefixtures("each_redis")
async def test_where_redis_is_away_an_answer_is_not_said_to_be_unknown(
    shop: Client, acme_key: str, settings: Settings
) -> None:
    path = f"/api/widget/chat/stream/{await written(shop, said('You'), 'another')}"
    settings.REDIS_URL, settings.REDIS_CLUSTER = "redis://127.0.0.1:1", False
    refused = await call("GET", path, x_api_key=acme_key, x_session_token="x")
    assert refused.error == (503, "SERVICE_UNAVAILABLE") and int(refused.headers["retry-after"]) > 0


@pytest.mark.usefixtures("each_redis")
async def test_an_answer_that_can_t_be_closed_costs_its_own_followers_only(
    shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: uuid.UUID) -> bool:
        raise RuntimeError

    monkeypatch.setattr(reader, "_close", fail)
    left, living = await written(shop, said("You"), "dead"), await written(shop, said("60"), "another")
    followers = [asyncio.create_task(heard(await found(shop, id))) for id in (left, living)]
    assert await followers[0] == [*said("You"), tapes.interrupted(left)]
    await tapes.client().xadd(key_of(shop.pk, living), fields_of([DONE]), id="3-0")
    assert await followers[1] == [*said("60"), DONE]


@pytest.mark.usefixtures("each_redis")
async def test_who_follows_an_answer_that_was_flushed_is_told(shop: Client) -> None:
    trace_id = await written(shop, said("You"), "another")
    follower = asyncio.create_task(heard(await found(shop, trace_id)))
    await asyncio.sleep(0)
    await tapes.client().delete(key_of(shop.pk, trace_id))
    assert await follower == [*said("You"), tapes.interrupted(trace_id)]


@pytest.mark.usefixtures("each_redis")
async def test_an_owner_hears_of_a_follower_elsewhere_until_it_has_been_gone_for_so_long(
    shop: Client, settings: Settings
) -> None:
    settings.ABANDONED_SECONDS = 30
    trace_id = await written(shop, said("You"), "another")
    await found(shop, trace_id)
    assert 30_000 < await tapes.client().pttl(followed(shop.pk, trace_id)) <= 34_000


async def test_an_answer_whose_owner_can_t_be_asked_for_is_not_closed(
    shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: str) -> bool:
        raise tapes.Away("ConnectionError")

    trace_id = await written(shop, said("You"), "another")
    monkeypatch.setattr(tapes, "is_alive", away)
    assert not await sweeper.close(shop.pk, trace_id)
    record = await tapes.read(shop.pk, trace_id)
    assert record is not None and record.events == said("You")


async def test_what_was_erased_is_noted_for_as_long_as_it_could_be_known(shop: Client) -> None:
    redis, now = tapes.client(), time.time()
    longest = settings.LLM_TOTAL_TIMEOUT + KEEP_SECONDS
    await redis.delete(ERASED)  # what other tests had erased
    await redis.zadd(ERASED, {"long ago": now - longest - 5, "just now": now - longest + 60})
    trace_id = uuid.uuid4()
    await tapes.erase(shop.pk, [trace_id])
    assert {each.decode() for each in await redis.zrange(ERASED, 0, -1)} == {"just now", f"{shop.pk}:{trace_id}"}
