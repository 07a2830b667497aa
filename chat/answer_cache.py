"""Whole answers, remembered for a few minutes.

The key holds everything an answer depends on: client, knowledge version (a changed or deleted document makes
a new one), model, prompt version, language and the normalised question. A cache that is away is a miss.
Without Redis there is one process, and they are in its memory.
"""

import hashlib
import json
import time
import unicodedata
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from chat import tapes
from chat.prompts import PROMPT_VERSION
from tenants.circuit import Circuit

if TYPE_CHECKING:
    from chat.workflow.state import Run

DEADLINE = 0.2  # seconds; a slower cache is none
MOST_KEPT = 1_000  # answers in the memory of a process: some megabytes


@dataclass(frozen=True)
class _Kept:
    """An answer in the memory of this process."""

    until: float  # time.monotonic()
    client_id: uuid.UUID
    session_id: uuid.UUID
    answer: str  # JSON


_kept: dict[str, _Kept] = {}  # by key, the oldest first
_circuit = Circuit("answers go on")


def key_of(
    client_id: uuid.UUID, knowledge_version: int, model: str, instructions: str, language: str, question: str
) -> str:
    """Questions that differ in case, spacing or closing punctuation only are one question."""
    normal = " ".join(unicodedata.normalize("NFKC", question).casefold().split()).rstrip("?!. ")
    parts = [knowledge_version, model, PROMPT_VERSION, instructions, language, normal]
    return f"answer:{{{client_id}}}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


async def get(key: str) -> dict[str, Any] | None:
    """`{"text": ..., "sources": [...], "model": ...}` of an earlier answer."""
    if not settings.REDIS_URL:
        kept = _kept.get(key)
        return json.loads(kept.answer) if kept and kept.until > time.monotonic() else None
    found = None
    async with _circuit.within(DEADLINE) as may_ask:
        if may_ask and (text := await tapes.client().get(key)):
            found = json.loads(text)
    return found


async def put(key: str, answer: dict[str, Any], run: "Run") -> None:
    """Remember an answer, and whose it was: a visitor may have it erased."""
    client_id, session_id, text = run.question.client.pk, run.question.session_id, json.dumps(answer)
    if not settings.REDIS_URL:
        _keep(key, _Kept(time.monotonic() + settings.ANSWER_CACHE_SECONDS, client_id, session_id, text))
        return
    session = _of_session(client_id, session_id)
    async with _circuit.within(DEADLINE) as may_ask:
        if may_ask and settings.ANSWER_CACHE_SECONDS:
            pipe = tapes.client().pipeline(transaction=False)
            pipe.sadd(session, key)  # first: an erasure at this moment finds the key, or we find the erasure
            pipe.expire(session, settings.ANSWER_CACHE_SECONDS)
            pipe.set(key, text, ex=settings.ANSWER_CACHE_SECONDS)
            if settings.REDIS_CLUSTER:  # where pipelines keep an order within a node only
                await pipe.execute()
            tapes.ask_whether_erased(pipe, client_id, run.trace_id)
            if (await pipe.execute())[-1] is not None:
                await tapes.client().delete(key, session)


async def erase(client_id: uuid.UUID, session_id: uuid.UUID) -> int:
    """Forget what was remembered of a session; how many answers. Raises tapes.Away."""
    if not settings.REDIS_URL:
        return forget(client_id, session_id)
    session = _of_session(client_id, session_id)
    async with tapes.step() as redis:
        keys = await redis.smembers(session)  # type: ignore[misc]
        return max(0, await redis.delete(session, *keys) - 1) if keys else 0


def forget(client_id: uuid.UUID, session_id: uuid.UUID | None = None) -> int:
    """Forget what this process alone remembers of a client, or of one session; how many answers."""
    mine = [
        key
        for key, kept in _kept.copy().items()
        if kept.client_id == client_id and session_id in (None, kept.session_id)
    ]
    return sum(_kept.pop(key, None) is not None for key in mine)


def _keep(key: str, kept: _Kept) -> None:
    for old, entry in _kept.copy().items():  # the oldest first
        if entry.until > time.monotonic() and len(_kept) < MOST_KEPT:
            break
        _kept.pop(old, None)
    _kept.pop(key, None)
    _kept[key] = kept


def _of_session(client_id: uuid.UUID, session_id: uuid.UUID) -> str:
    return f"answers:{{{client_id}}}:{session_id}"
