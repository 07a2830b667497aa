"""Embeddings kept for an hour: re-uploads, retries and repeated questions cost nothing.

A text's vectors are found by client, model, dimensions and normalised text. They live in Redis where there is
one; a question's in this process, and in Redis too where embedding it is a call to somebody. The client is in the
key so that no client can learn from the time that an answer takes what another one has embedded.
"""

import asyncio
import contextlib
import hashlib
import threading
import time
import unicodedata
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from django.conf import settings
from django.core.cache import caches

from knowledge import metrics
from knowledge.embeddings.base import Embedder, ignore_progress
from tenants.circuit import Circuit
from tenants.redis_loop import redis_of_loop

KEEP_SECONDS = 3600
QUESTIONS = 2_000  # remembered in the process: 3 MB at 384 dimensions
READ_AT_ONCE = 500
QUESTION_SECONDS = 0.2  # a slower cache is none
CONNECTIONS = 8
KEY = "embedding:{owner}:{rest}"


class CachedEmbedder:
    """An embedder that asks `inner` only for what one client has not embedded within the last hour."""

    def __init__(self, inner: Embedder, client_id: uuid.UUID | None):
        self._inner = inner
        self._owner = str(client_id or "")
        self.model, self.dimensions, self.in_process = inner.model, inner.dimensions, inner.in_process

    def embed_passages(
        self, texts: Sequence[str], progress: Callable[[int], None] = ignore_progress
    ) -> tuple[list[np.ndarray], int]:
        keys = [self._key("passage", text) for text in texts]
        vectors = self._read(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        known = len(texts) - len(new)
        metrics.count_lookup("passage", known, len(texts))
        progress(known)
        fresh, tokens = self._inner.embed_passages(list(new.values()), lambda done: progress(known + done))
        made = dict(zip(new, fresh, strict=True))
        _write(made)
        vectors |= made
        return [vectors[key] for key in keys], tokens

    def load(self) -> None:
        self._inner.load()

    async def embed_question(self, text: str) -> np.ndarray:
        key = self._key("question", text)
        vector = _questions.get(key)
        known = vector is not None
        if vector is None:
            shares = bool(settings.REDIS_URL) and not self.in_process  # to ask Redis twice costs the visitor more time
            vector = await _shared_question(key, self.dimensions) if shares else None
            known = vector is not None
            if vector is None:
                vector = await self._inner.embed_question(text)
                if shares:
                    _sharing.add(task := asyncio.create_task(_share_question(key, vector)))
                    task.add_done_callback(_sharing.discard)
            _questions.put(key, vector)
        metrics.count_lookup("question", int(known), 1)
        return vector

    def remembers(self, question: str) -> bool:
        """Is the question's vector in this process's memory?"""
        return _questions.get(self._key("question", question)) is not None

    def _key(self, kind: str, text: str) -> str:
        normal = " ".join(unicodedata.normalize("NFC", text).split())
        digest = hashlib.sha256(normal.encode(errors="surrogatepass")).hexdigest()
        return KEY.format(owner=self._owner, rest=f"{self.model}@{self.dimensions}:{kind}:{digest}")

    def _read(self, keys: Sequence[str]) -> dict[str, np.ndarray]:
        found: dict[str, bytes] = {}
        with _shared() as cache:
            for at in range(0, len(keys) if cache else 0, READ_AT_ONCE):
                found |= cache.get_many(keys[at : at + READ_AT_ONCE])
        return {key: np.frombuffer(data, np.float32).reshape(-1, self.dimensions) for key, data in found.items()}


def _write(vectors: dict[str, np.ndarray]) -> None:
    with _shared() as cache:
        if cache and vectors:
            cache.set_many({key: array.tobytes() for key, array in vectors.items()}, KEEP_SECONDS)


@contextlib.contextmanager
def _shared() -> Iterator[Any]:
    """The cache in Redis; None where there is no Redis, or it has just failed. A failure in the block ends it."""
    if not settings.REDIS_URL or not _circuit.may_try():
        yield None
        return
    # It takes most of a second to import; without REDIS_URL it is never loaded.
    from redis.exceptions import RedisClusterException, RedisError

    try:
        yield caches["default"]
        _circuit.worked()
    except (RedisError, RedisClusterException) as error:
        _circuit.failed(error)


_sharing: set[asyncio.Task[None]] = set()  # an event loop alone would not keep them; nobody waits


async def _shared_question(key: str, dimensions: int) -> np.ndarray | None:
    vector = None
    async with _ask_in_time() as may_ask:
        if may_ask and (data := await _redis().get(caches["default"].make_key(key))):
            vector = np.frombuffer(data, np.float32).reshape(dimensions)
    return vector


async def _share_question(key: str, vector: np.ndarray) -> None:
    async with _ask_in_time() as may_ask:
        if may_ask:
            await _redis().set(caches["default"].make_key(key), vector.astype(np.float32).tobytes(), ex=KEEP_SECONDS)


def _ask_in_time() -> contextlib.AbstractAsyncContextManager[bool]:
    """May Redis be asked? A visitor waits."""
    return _circuit.within(QUESTION_SECONDS)


def _redis() -> Any:
    return redis_of_loop("questions", CONNECTIONS, QUESTION_SECONDS, QUESTION_SECONDS)


class _Recent:
    """The last QUESTIONS entries of the last KEEP_SECONDS; safe between threads."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[float, np.ndarray]] = OrderedDict()
        self._changing = threading.Lock()

    def get(self, key: str) -> np.ndarray | None:
        with self._changing:
            entry = self._entries.get(key)
            if entry is None or time.monotonic() - entry[0] > KEEP_SECONDS:
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: str, vector: np.ndarray) -> None:
        with self._changing:
            self._entries[key] = time.monotonic(), vector
            self._entries.move_to_end(key)
            if len(self._entries) > QUESTIONS:
                self._entries.popitem(last=False)

    def forget(self, beginning: str) -> None:
        with self._changing:
            for key in [key for key in self._entries if key.startswith(beginning)]:
                del self._entries[key]


_questions = _Recent()
_circuit = Circuit("embeddings go on")


def forget_questions(client_id: uuid.UUID) -> None:
    """Forget what this process remembers of a client's."""
    _questions.forget(KEY.format(owner=client_id, rest=""))
