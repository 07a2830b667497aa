"""Whole answers, remembered for a few minutes.

The key holds everything an answer depends on: client, knowledge version (a changed or deleted document makes
a new one), model, prompt version, language and the normalised question. A cache that is away is a miss.
"""

import asyncio
import contextlib
import hashlib
import json
import unicodedata
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import cache

from chat import tapes
from chat.prompts import PROMPT_VERSION
from tenants.circuit import Circuit

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from chat.workflow.state import Run

DEADLINE = 0.2  # seconds; a slower cache is none
_circuit = Circuit("answers go on")


def key_of(
    client_id: uuid.UUID, knowledge_version: int, model: str, instructions: str, language: str, question: str
) -> str:
    """Questions that differ in case, spacing or closing punctuation only are one question."""
    normal = " ".join(unicodedata.normalize("NFKC", question).casefold().split()).rstrip("?!. ")
    parts = [knowledge_version, model, PROMPT_VERSION, instructions, language, normal]
    return f"answer:{client_id}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


async def get(key: str) -> dict[str, Any] | None:
    """`{"text": ..., "sources": [...], "model": ...}` of an earlier answer."""
    if not settings.REDIS_URL:
        return cache.get(key)
    answer = None
    async with _in_time() as redis:
        found = await redis.get(key) if redis else None
        answer = json.loads(found) if found else None
    return answer


async def put(key: str, answer: dict[str, Any], run: "Run") -> None:
    """Remember an answer, and whose it was: a visitor may have it erased."""
    session = _of_session(run.question.client.pk, run.question.session_id)
    if not settings.REDIS_URL:
        cache.set(session, [*cache.get(session, ()), key], settings.ANSWER_CACHE_SECONDS)
        return cache.set(key, answer, settings.ANSWER_CACHE_SECONDS)
    async with _in_time() as redis:
        if redis and settings.ANSWER_CACHE_SECONDS:
            pipe = redis.pipeline(transaction=False)
            pipe.sadd(session, key)  # first: an erasure at this moment finds the key, or we find the erasure
            pipe.expire(session, settings.ANSWER_CACHE_SECONDS)
            pipe.set(key, json.dumps(answer), ex=settings.ANSWER_CACHE_SECONDS)
            await pipe.execute()
            if await tapes.erased(run.question.client.pk, run.trace_id):
                await redis.delete(key, session)


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator["Redis | None"]:
    """Redis, for DEADLINE seconds; None if it has just failed. A failure in the block ends it: an answer can always
    be made anew."""
    if not _circuit.may_try():
        yield None
        return
    try:
        async with asyncio.timeout(DEADLINE):
            yield tapes.client()
        _circuit.worked()
    except Exception as error:  # noqa: BLE001 - likewise
        _circuit.failed(error)


async def erase(client_id: uuid.UUID, session_id: uuid.UUID) -> int:
    """Forget what was remembered of a session; how many answers. Raises tapes.Away."""
    session = _of_session(client_id, session_id)
    if not settings.REDIS_URL:
        keys = cache.get(session, [])
        cache.delete_many([session, *keys])
        return len(keys)
    async with tapes.step() as redis:
        keys = await redis.smembers(session)  # type: ignore[misc]
        return max(0, await redis.delete(session, *keys) - 1) if keys else 0


def forget() -> None:
    """Forget what this process alone remembers; its keys can't be told apart, and an answer can be made anew."""
    if not settings.REDIS_URL:
        cache.clear()


def _of_session(client_id: uuid.UUID, session_id: uuid.UUID) -> str:
    return f"answers:{client_id}:{session_id}"
