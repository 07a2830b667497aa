"""The store of one client's vectors: what goes in, what comes out, and what every back-end can do."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from django.conf import settings

DENSE, SPARSE = "dense", "bm25"  # names of the two vectors of a point


class VectorError(Exception):
    """The store did not do what was asked; the text is for an operator."""


class VectorStoreTaken(VectorError):
    """The embedded store belongs to another process."""


@dataclass(frozen=True)
class Point:
    """A passage to be found. `id` is its chunk's; `vectors` has shape (windows, dimensions), each of length 1."""

    id: uuid.UUID
    version_id: int
    text: str
    vectors: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """A passage that may answer.

    `dense` is the cosine of its best window with the question. `sparse` is its BM25 (IDF over the client's own
    passages) as a share, 0..1, of what the question's words could earn at most, so that it compares between
    questions and between clients. `coverage` is likewise how much of the question it holds, 0..1, with every word
    worth the same.
    """

    id: uuid.UUID
    dense: float
    sparse: float
    coverage: float


class VectorStore(ABC):
    """One client's points in the index of one model. `VectorStore.for_client` is the only way to one.

    Every request that a store makes carries the condition on its client. Methods raise VectorError.
    """

    _opened: ClassVar[object] = object()

    def __init__(self, client_id: uuid.UUID, model: str, opened: object):
        if opened is not VectorStore._opened:
            raise TypeError("a store is opened with VectorStore.for_client(client_id)")
        self.client_id = client_id
        self.model = model  # the embedding model's key, `name@dimensions`

    @staticmethod
    def for_client(client_id: uuid.UUID | str, model: str | None = None) -> "VectorStore":
        """The client's store in the index of `model` (a key), by default in the index that answers questions now."""
        client_id = client_id if isinstance(client_id, uuid.UUID) else uuid.UUID(str(client_id))
        back_end = _back_end()
        return back_end(client_id, model or back_end.live_model(), VectorStore._opened)

    @staticmethod
    def live_model() -> str:
        """The key of the model whose index answers questions; that of the settings while there is no index."""
        return _back_end().live_model()

    @staticmethod
    def live_model_at_hand() -> str | None:
        """The same, where that takes no waiting; else None."""
        return _back_end().live_model_at_hand()

    @staticmethod
    def set_live_model(model: str) -> None:
        """From now on (in other processes within some seconds) questions are answered from `model`'s index."""
        _back_end().set_live_model(model)

    @abstractmethod
    def upsert(self, points: Sequence[Point]) -> None:
        """Add the points, or replace those with the same ids. A point of another client is left as it is."""

    @abstractmethod
    def delete(self, ids: Collection[uuid.UUID]) -> None:
        """Remove those of the client's points that have these ids."""

    @abstractmethod
    def delete_version(self, version_id: int) -> None:
        """Remove a document version's points."""

    @abstractmethod
    def delete_all(self) -> None:
        """Remove the client's points."""

    @abstractmethod
    def count(self, version_id: int | None = None) -> int:
        """How many points the client (or one of its versions) has."""

    @abstractmethod
    def ids(self, version_id: int | None = None) -> set[uuid.UUID]:
        """The ids of the client's (or the version's) points."""

    @abstractmethod
    async def search(self, vector: np.ndarray, text: str, limit: int) -> list[Candidate]:
        """The `limit` nearest points to `vector` (dimensions,) and the `limit` best for the words of `text`.

        Each candidate carries both its scores, whichever way it was found.
        """


def _back_end() -> type[VectorStore]:
    if settings.QDRANT_URL:
        from knowledge.vectors.server import ServerStore

        return ServerStore
    from knowledge.vectors.embedded import EmbeddedStore

    return EmbeddedStore
