"""Embeddings kept for an hour: re-uploads, retries and repeated questions cost nothing.

A text's vectors are found by client, model, dimensions and normalised text. They live in Redis where there is
one; questions also in this process. The client is in the key so that no client can learn from the time that an
answer takes what another one has embedded.
"""

import asyncio
import hashlib
import threading
import time
import unicodedata
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import structlog
from django.conf import settings
from django.core.cache import cache

from knowledge import metrics
from knowledge.embeddings.base import Embedder, ignore_progress
from tenants.errors import cause_of

log = structlog.get_logger(__name__)
KEEP_SECONDS = 3600
QUESTIONS = 2_000  # remembered in the process: 3 MB at 384 dimensions
READ_AT_ONCE = 500
KEY = "embedding:{owner}:{rest}"


class CachedEmbedder:
    """An embedder that asks `inner` only for what one client has not embedded within the last hour."""

    def __init__(self, inner: Embedder, client_id: uuid.UUID | None):
        self._inner = inner
        self._owner = str(client_id or "")
        self.model, self.dimensions = inner.model, inner.dimensions

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
            shared = await asyncio.to_thread(self._read, [key]) if settings.REDIS_URL else {}
            known = bool(shared)
            vector = shared[key][0] if shared else await self._inner.embed_question(text)
            _questions.put(key, vector)
            if settings.REDIS_URL and not shared:
                await asyncio.to_thread(_write, {key: vector[None]})
        metrics.count_lookup("question", int(known), 1)
        return vector

    def _key(self, kind: str, text: str) -> str:
        normal = " ".join(unicodedata.normalize("NFC", text).split())
        digest = hashlib.sha256(normal.encode(errors="surrogatepass")).hexdigest()
        return KEY.format(owner=self._owner, rest=f"{self.model}@{self.dimensions}:{kind}:{digest}")

    def _read(self, keys: Sequence[str]) -> dict[str, np.ndarray]:
        found: dict[str, bytes] = {}
        if settings.REDIS_URL:
            from redis import RedisError  # takes most of a second to import; without REDIS_URL it is never loaded

            try:
                for at in range(0, len(keys), READ_AT_ONCE):
                    found |= cache.get_many(keys[at : at + READ_AT_ONCE])
            except RedisError as error:
                log.warning("embedding cache unreachable", error=cause_of(error))
        return {key: np.frombuffer(data, np.float32).reshape(-1, self.dimensions) for key, data in found.items()}


def _write(vectors: dict[str, np.ndarray]) -> None:
    if settings.REDIS_URL and vectors:
        from redis import RedisError

        try:
            cache.set_many({key: array.tobytes() for key, array in vectors.items()}, KEEP_SECONDS)
        except RedisError as error:
            log.warning("embedding cache unreachable", error=cause_of(error))


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


def forget_questions(client_id: uuid.UUID) -> None:
    """Forget what this process remembers of a client's."""
    _questions.forget(KEY.format(owner=client_id, rest=""))
