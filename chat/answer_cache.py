"""Whole answers, remembered for a few minutes.

The key holds everything an answer depends on: client, knowledge version (a changed or deleted document makes
a new one), model, prompt version, language and the normalised question. A cache that is away is a miss.
"""

import asyncio
import hashlib
import json
import unicodedata
import uuid
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache

from chat import tapes
from chat.prompts import PROMPT_VERSION

log = structlog.get_logger(__name__)
DEADLINE = 0.2  # seconds; a slower cache is none


def key_of(
    client_id: uuid.UUID, knowledge_version: int, model: str, instructions: str, language: str, question: str
) -> str:
    """Questions that differ in case, spacing or closing punctuation only are one question."""
    normal = " ".join(unicodedata.normalize("NFKC", question).casefold().split()).rstrip("?!. ")
    parts = [knowledge_version, model, PROMPT_VERSION, instructions, language, normal]
    return f"answer:{client_id}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


async def get(key: str) -> dict[str, Any] | None:
    """`{"text": ..., "sources": [...], "model": ...}` of an earlier answer."""
    try:
        if not settings.REDIS_URL:
            return cache.get(key)
        async with asyncio.timeout(DEADLINE):
            found = await tapes.client().get(key)
        return json.loads(found) if found else None
    except Exception:  # noqa: BLE001 - an answer can always be made anew
        log.warning("answer cache is away")
        return None


async def put(key: str, answer: dict[str, Any]) -> None:
    try:
        if not settings.REDIS_URL:
            return cache.set(key, answer, settings.ANSWER_CACHE_SECONDS)
        if settings.ANSWER_CACHE_SECONDS:
            async with asyncio.timeout(DEADLINE):
                await tapes.client().set(key, json.dumps(answer), ex=settings.ANSWER_CACHE_SECONDS)
    except Exception:  # noqa: BLE001 - likewise
        log.warning("answer cache is away")
