"""What a visitor or a client has had erased is forgotten here, and in other processes within HEARTBEAT seconds."""

import time
import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings

from chat.tape import KEEP_SECONDS
from chat.tapes.connection import Away, step
from chat.tapes.house import house
from chat.tapes.records import Id, followed, key_of

ERASED = "tapes:erased"  # sorted by time: answers that were erased


async def erase(client_id: uuid.UUID, trace_ids: Iterable[uuid.UUID]) -> None:
    """Forget these answers, stop those that are being written, and have other processes do so within HEARTBEAT
    seconds; what they still say is written nowhere. Raises Away."""
    ids = [(client_id, trace_id) for trace_id in trace_ids]
    for id in ids:
        _forget(id)
    if settings.REDIS_URL and ids:
        longest = int(settings.LLM_TOTAL_TIMEOUT) + KEEP_SECONDS  # that any process can still know of an answer
        async with step() as redis:
            pipe = redis.pipeline(transaction=False)
            pipe.zremrangebyscore(ERASED, "-inf", time.time() - longest)
            pipe.zadd(ERASED, {_member(*id): time.time() for id in ids})
            pipe.expire(ERASED, longest)
            pipe.delete(*(key for id in ids for key in (key_of(*id), followed(*id))))
            await pipe.execute()


def ask_whether_erased(pipe: Any, client_id: uuid.UUID, trace_id: uuid.UUID) -> None:
    """Add to a pipeline of commands the one whose reply is None unless this answer was erased."""
    pipe.zscore(ERASED, _member(client_id, trace_id))


async def recorded(client_id: uuid.UUID, trace_ids: Iterable[uuid.UUID]) -> int:
    """How many of these answers are still remembered, here or in Redis. Raises Away."""
    ids = [(client_id, trace_id) for trace_id in trace_ids]
    here = sum(id in house().tapes for id in ids)
    if not settings.REDIS_URL or not ids:
        return here
    async with step() as redis:
        return max(here, await redis.exists(*(key_of(*id) for id in ids)))


async def honour_erasures() -> None:
    """Forget what was erased in another process."""
    if not settings.REDIS_URL or not (house().tapes or house().reader.mirrors):
        return
    try:
        async with step() as redis:
            recent: Any = await redis.zrangebyscore(ERASED, time.time() - KEEP_SECONDS, "+inf")
    except Away:
        return
    for member in recent:
        client_id, _, trace_id = member.decode().partition(":")
        _forget((uuid.UUID(client_id), uuid.UUID(trace_id)))


def forget_client(client_id: uuid.UUID) -> None:
    """Stop this loop's answers of a client that is being erased, and forget them."""
    for id in [id for id in (*house().tapes, *house().reader.mirrors) if id[0] == client_id]:
        _forget(id)


def _forget(id: Id) -> None:
    home = house()
    if tape := home.tapes.pop(id, None):
        home.recorder.forget(tape)
        home.drop_finished(tape)
        tape.stop()
    if mirror := home.reader.mirrors.get(id):
        mirror.cut()
    home.reader.drop(id)


def _member(client_id: uuid.UUID, trace_id: uuid.UUID) -> str:
    return f"{client_id}:{trace_id}"
