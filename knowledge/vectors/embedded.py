"""The embedded store: Qdrant's engine inside one process, which other processes on the machine may ask."""

import asyncio
import atexit
import threading
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from knowledge.embeddings.models import wanted_model
from knowledge.vectors import owner
from knowledge.vectors.base import Candidate, Point, VectorStore, VectorStoreTaken

_access = threading.RLock()
_shards: Any = None  # Shards in the owner, OwnersShards elsewhere
_lock: owner.Lock | None = None  # held by the owner


def own() -> None:
    """Make this process the owner (the web process does so at its start); VectorStoreTaken if another one is.

    From then on the index that answers is a fact, which other settings don't change: reindex does.
    """
    with _access:
        if _lock is None:
            release()
            try:
                _open_own()
            except owner.Taken as taken:
                raise VectorStoreTaken(
                    f"The embedded vector store in {settings.DATA_DIR} belongs to process {taken.note['pid']} "
                    f"({taken.note['command']}), and only one process can have it. Stop that one first, or set "
                    "QDRANT_URL to share a Qdrant server between several processes."
                ) from taken
            EmbeddedStore.set_live_model(EmbeddedStore.live_model())


def release() -> None:
    """Close the store in this process: write everything down, let another process own it."""
    global _shards, _lock
    with _access:
        if _lock is not None:
            _shards.close()
            _lock.release()
        _shards = _lock = None


class EmbeddedStore(VectorStore):
    """One client's points in the shard of one model."""

    def upsert(self, points: Sequence[Point]) -> None:
        _call("upsert", self.model, self.client_id, list(points))

    def delete(self, ids: Collection[uuid.UUID]) -> None:
        _call("delete_ids", self.model, self.client_id, set(ids))

    def delete_version(self, version_id: int) -> None:
        _call("delete", self.model, self.client_id, version_id)

    def delete_all(self) -> None:
        _call("delete", self.model, self.client_id, None)

    def count(self, version_id: int | None = None) -> int:
        return _call("count", self.model, self.client_id, version_id)

    def ids(self, version_id: int | None = None) -> set[uuid.UUID]:
        return _call("ids", self.model, self.client_id, version_id)

    async def search(self, vector: np.ndarray, text: str, limit: int) -> list[Candidate]:
        return await asyncio.to_thread(_call, "search", self.model, self.client_id, vector, text, limit)

    @staticmethod
    def live_model() -> str:
        try:
            return (_directory() / "live").read_text()
        except FileNotFoundError:
            return wanted_model().key

    @staticmethod
    def live_model_at_hand() -> str | None:
        return EmbeddedStore.live_model()  # reads a short file

    @staticmethod
    def set_live_model(model: str) -> None:
        _directory().mkdir(parents=True, exist_ok=True)
        fresh = _directory() / "live.new"
        fresh.write_text(model)
        fresh.replace(_directory() / "live")


def _call(name: str, *arguments: Any) -> Any:
    """Call the shards, wherever they are. Once more if their owner has just gone: every call may be repeated."""
    try:
        return getattr(_reach(), name)(*arguments)
    except owner.OwnerGone:
        release()
        return getattr(_reach(), name)(*arguments)


def _reach() -> Any:
    """This process's shards; else, where the lock is free, this process becomes the owner; else the owner's."""
    global _shards
    with _access:
        if _shards is None:
            try:
                _open_own()
            except owner.Taken as taken:
                _shards = owner.OwnersShards(taken.note["address"])
        return _shards


def _open_own() -> None:
    global _shards, _lock
    lock = owner.Lock(_directory())
    from knowledge.vectors.shards import Shards

    _shards, _lock = Shards(_directory()), lock
    owner.listen(lock, _shards)


def _directory() -> Path:
    return settings.DATA_DIR / "vectors"


atexit.register(release)
