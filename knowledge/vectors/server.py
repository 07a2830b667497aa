"""The store on a Qdrant server, over REST: one collection for each embedding model, all clients in it."""

import asyncio
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import httpx
import numpy as np
from django.conf import settings
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from knowledge.embeddings.models import model_of, wanted_model
from knowledge.vectors import legs, sparse
from knowledge.vectors.base import DENSE, SPARSE, Candidate, Point, VectorError, VectorStore

QUESTION_SECONDS = 5  # a visitor waits
CALL_SECONDS = 30
PATIENCE_SECONDS = 60  # with all repetitions of a call that is no visitor's
LIVE_MODEL_SECONDS = 5.0
UPSERT_BATCH = 64  # about 2 MB of JSON
PAGE = 1_000
FAILURES = (ResponseHandlingException, ResourceExhaustedResponse, UnexpectedResponse)


class ServerStore(VectorStore):
    """One client's points in the collection of one model. Every call may be repeated: ids are deterministic."""

    def upsert(self, points: Sequence[Point]) -> None:
        for at in range(0, len(points), UPSERT_BATCH):
            rows = [self._row(point) for point in points[at : at + UPSERT_BATCH]]
            self._call(partial(_upsert, rows=rows, condition=self._only()))

    def delete(self, ids: Collection[uuid.UUID]) -> None:
        wanted = list(ids)
        for at in range(0, len(wanted), PAGE):
            self._delete(self._only(among=set(wanted[at : at + PAGE])))

    def delete_version(self, version_id: int) -> None:
        self._delete(self._only(version_id))

    def delete_all(self) -> None:
        self._delete(self._only())

    def count(self, version_id: int | None = None) -> int:
        condition = self._only(version_id)
        return self._call(lambda client, name: client.count(name, count_filter=condition).count)

    def ids(self, version_id: int | None = None) -> set[uuid.UUID]:
        condition = self._only(version_id)
        found: set[uuid.UUID] = set()
        offset: Any = None
        while True:
            records, offset = self._call(partial(_scroll, condition=condition, offset=offset))
            found.update(uuid.UUID(str(record.id)) for record in records)
            if offset is None:
                return found

    async def search(self, vector: np.ndarray, text: str, limit: int) -> list[Candidate]:
        terms = sparse.question(text)
        asked: dict[str, Any] = {DENSE: [vector.tolist()]}
        if terms.indices:
            asked[SPARSE] = models.SparseVector(indices=terms.indices, values=terms.values)

        async def scores(wanted: dict[str, models.Filter], limit: int) -> legs.Found:
            requests = [self._nearest(leg, asked, condition, limit) for leg, condition in wanted.items()]
            answers = await self._ask(lambda client, name: client.query_batch_points(name, requests))
            found = [{uuid.UUID(str(point.id)): point.score for point in answer.points} for answer in answers]
            return dict(zip(wanted, found, strict=True))

        counting = self._ask(lambda client, name: client.count(name, count_filter=self._only(), exact=False))
        found, passages = await asyncio.gather(scores(dict.fromkeys(asked, self._only()), limit), counting)
        if missed := legs.missing(found):
            more = await scores({leg: self._only(among=ids) for leg, ids in missed.items()}, 2 * limit)
            for leg, ids in more.items():
                found.setdefault(leg, {}).update(ids)
        return legs.candidates(found, terms, passages.count)

    def _nearest(self, leg: str, asked: dict[str, Any], condition: models.Filter, limit: int) -> models.QueryRequest:
        using = DENSE if leg == DENSE else SPARSE
        corpus = self._only(legs.NO_VERSION if leg == legs.COVERAGE else None)
        params = None if leg == DENSE else models.SearchParams(idf=models.IdfCorpusParams(corpus=corpus))
        return models.QueryRequest(query=asked[using], using=using, filter=condition, limit=limit, params=params)

    def _row(self, point: Point) -> models.PointStruct:
        terms = sparse.document(point.text)
        words = models.SparseVector(indices=terms.indices, values=terms.values)
        return models.PointStruct(
            id=str(point.id),
            vector={DENSE: point.vectors.tolist(), SPARSE: words},
            payload={"client_id": str(self.client_id), "version_id": point.version_id},
        )

    def _delete(self, condition: models.Filter) -> None:
        chosen = models.FilterSelector(filter=condition)
        self._call(lambda client, name: client.delete(name, chosen))

    def _only(self, version_id: int | None = None, among: set[uuid.UUID] | None = None) -> models.Filter:
        """The one place where this store's conditions are made: always the client's points, and no others."""
        must: list[Any] = [_field("client_id", str(self.client_id))]
        if version_id is not None:
            must.append(_field("version_id", version_id))
        if among is not None:
            must.append(models.HasIdCondition(has_id=[str(id) for id in among]))
        return models.Filter(must=must)

    def _call(self, call: Callable[[QdrantClient, str], Any]) -> Any:
        """`call` with the client library and the collection's name, repeated while the failure may pass."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        for attempt in range(100):
            try:
                _ensure(self.model)
                return call(_client(), collection_name(self.model))
            except FAILURES as error:
                wait = _pause(error, attempt, self.model)
                if wait is None or time.monotonic() + wait > deadline:
                    raise _our_error(error) from error
                time.sleep(wait)
        raise VectorError("the vector server refused every attempt")

    async def _ask(self, call: Callable[[AsyncQdrantClient, str], Any]) -> Any:
        """The same for a waiting visitor: repeated once."""
        for last in (False, True):
            try:
                if self.model not in _ensured:
                    await asyncio.to_thread(_ensure, self.model)
                return await call(_async_client(), collection_name(self.model))
            except FAILURES as error:
                wait = _pause(error, 0, self.model)
                if last or wait is None or wait > 1:
                    raise _our_error(error) from error
                await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    @staticmethod
    def live_model() -> str:
        """Looked up every LIVE_MODEL_SECONDS by one of those who ask; the others go on with what is known."""
        global _live
        if fresh := ServerStore.live_model_at_hand():
            return fresh
        known = _live
        if not _looking.acquire(timeout=0 if known else QUESTION_SECONDS):
            if known is None:
                raise VectorError(f"the vector server at {settings.QDRANT_URL} does not say which model is live")
            return known[1]
        try:
            model = _model_of_alias(_client(QUESTION_SECONDS)) or wanted_model().key
            _live = time.monotonic(), model
            return model
        except FAILURES as error:
            raise _our_error(error) from error
        finally:
            _looking.release()

    @staticmethod
    def live_model_at_hand() -> str | None:
        known = _live
        return known[1] if known and time.monotonic() - known[0] < LIVE_MODEL_SECONDS else None

    @staticmethod
    def set_live_model(model: str) -> None:
        global _live
        try:
            _ensure(model)
            _point_alias_at(model)
        except FAILURES as error:
            raise _our_error(error) from error
        _live = None


def collection_name(model: str) -> str:
    return f"{settings.QDRANT_COLLECTION}-{model}"


_making = threading.RLock()
_looking = threading.Lock()  # which model is live
_clients: dict[tuple[int, int], QdrantClient] = {}  # by process (a forked one must not share sockets) and deadline
_async_clients: WeakKeyDictionary[Any, AsyncQdrantClient] = WeakKeyDictionary()  # one an event loop
_ensured: set[str] = set()  # models whose collection this process has seen complete
_live: tuple[float, str] | None = None  # when it was read, and the model


def _client(seconds: int = CALL_SECONDS) -> QdrantClient:
    """Waits so long for each reply."""
    key = os.getpid(), seconds
    with _making:
        if key not in _clients:
            _clients[key] = QdrantClient(timeout=seconds, **_address())
        return _clients[key]


def _async_client() -> AsyncQdrantClient:
    loop = asyncio.get_running_loop()
    if loop not in _async_clients:
        _async_clients[loop] = AsyncQdrantClient(timeout=QUESTION_SECONDS, **_address())
    return _async_clients[loop]


def disconnect() -> None:
    """Forget the connections and what is known of the server (the settings may name another one now)."""
    global _live
    with _making:
        for client in _clients.values():
            client.close()
        _clients.clear()
        _async_clients.clear()
        _ensured.clear()
        _live = None


def _address() -> dict[str, Any]:
    return {
        "url": settings.QDRANT_URL,
        "api_key": settings.QDRANT_API_KEY or None,
        "check_compatibility": False,
        "verify": not settings.QDRANT_URL.startswith("http:"),  # without TLS, loading certificates is 0.1 s for nothing
        "limits": httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30),
    }


def _ensure(model: str) -> None:
    """Make the model's collection with its indexes if it isn't there; harmless when several processes do so at once."""
    with _making:
        if model not in _ensured:
            _make(model)
            _ensured.add(model)


def _make(model: str) -> None:
    client, name = _client(), collection_name(model)
    if not client.collection_exists(name):
        _create(client, name, model_of(model).dimensions)
    client.create_payload_index(
        name, "client_id", models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    )
    client.create_payload_index(name, "version_id", models.PayloadSchemaType.INTEGER)
    if _model_of_alias(client) is None:
        _point_alias_at(model)


def _create(client: QdrantClient, name: str, dimensions: int) -> None:
    windows = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    dense = models.VectorParams(size=dimensions, distance=models.Distance.COSINE, multivector_config=windows)
    try:
        client.create_collection(
            name,
            vectors_config={DENSE: dense},
            shard_number=settings.QDRANT_SHARDS or None,
            replication_factor=settings.QDRANT_REPLICAS or None,
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            # A graph for each client instead of one over all: what the filter leaves is searched, and only that.
            hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
            # The server itself refuses conditions on fields without an index.
            strict_mode_config=models.StrictModeConfig(
                enabled=True, unindexed_filtering_retrieve=False, unindexed_filtering_update=False
            ),
        )
    except UnexpectedResponse as error:
        if error.status_code != 409 and not client.collection_exists(name):
            raise


def _model_of_alias(client: QdrantClient) -> str | None:
    """The model whose collection the alias QDRANT_COLLECTION names: the one that answers questions."""
    for alias in client.get_aliases().aliases:
        if alias.alias_name == settings.QDRANT_COLLECTION:
            return alias.collection_name.removeprefix(f"{settings.QDRANT_COLLECTION}-")
    return None


def _point_alias_at(model: str) -> None:
    """One request, so that at every moment the alias names one collection."""
    alias = models.CreateAlias(collection_name=collection_name(model), alias_name=settings.QDRANT_COLLECTION)
    steps: list[Any] = [models.CreateAliasOperation(create_alias=alias)]
    if _model_of_alias(_client()) is not None:
        gone = models.DeleteAlias(alias_name=settings.QDRANT_COLLECTION)
        steps.insert(0, models.DeleteAliasOperation(delete_alias=gone))
    _client().update_collection_aliases(steps)


def _pause(error: Exception, attempt: int, model: str) -> float | None:
    """Seconds to wait before the call is repeated, or None when repeating can't help."""
    backing_off = min(10.0, 0.2 * 2**attempt) * random.uniform(0.5, 1.0)
    if isinstance(error, ResourceExhaustedResponse):
        return float(error.retry_after_s)
    if isinstance(error, UnexpectedResponse):
        if error.status_code in (400, 404) and attempt == 0:  # removed under our feet, or made without its indexes yet
            _ensured.discard(model)
            return 0.1
        return backing_off if error.status_code == 429 or (error.status_code or 0) >= 500 else None
    if isinstance(error, ResponseHandlingException) and not isinstance(error.source, httpx.TransportError):
        return None  # an answer that isn't Qdrant's
    return backing_off


def _our_error(error: Exception) -> VectorError:
    return VectorError(f"the vector server at {settings.QDRANT_URL}: {type(error).__name__} {error}")


def _upsert(client: QdrantClient, name: str, rows: list[models.PointStruct], condition: models.Filter) -> None:
    client.upsert(name, rows, update_filter=condition)


def _scroll(client: QdrantClient, name: str, condition: models.Filter, offset: Any) -> tuple[list[models.Record], Any]:
    return client.scroll(name, condition, limit=PAGE, offset=offset, with_payload=False, with_vectors=False)


def _field(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))
