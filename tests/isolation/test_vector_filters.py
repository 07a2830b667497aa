"""The filters of both vector stores hold, and each is needed: taken out in turn, the same probes turn red."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge
from asgiref.sync import async_to_sync

from knowledge.vectors import Point, VectorStore, embedded, legs, server, shards
from tests.contracts.qdrant_server import Request, SmallQdrant, small_qdrant

# Where a store hands a filter to its engine. A search has its legs, asks for scores that one leg missed ("among"),
# counts the client's passages, and names the passages that words are rare or common in ("idf").
PLACES = (
    "upsert", "delete", "count", "scroll", "passages",
    "dense", "bm25", "dense among", "bm25 among", "coverage among", "idf", "idf of coverage",
)  # fmt: skip
ACME, STRANGER = uuid.UUID(int=1), uuid.UUID(int=2)
NORTH, EAST, UP = np.eye(4, dtype=np.float32)[:3]
Sabotage = Callable[[str | None], Any]  # a context in which the filter of this place is missing


def point(text: str, vector: np.ndarray, version: int = 1) -> Point:
    return Point(uuid.uuid4(), version, text, vector[None])


def search(client: uuid.UUID) -> Any:
    """What a client finds, by either leg and with every score; one passage a leg, so that scores are asked for."""
    found = async_to_sync(VectorStore.for_client(client).search)(NORTH, "boots of rain", 1)
    return sorted((c.id, *(round(s, 4) for s in (c.dense, c.sparse, c.coverage))) for c in found)


def leaks(sabotage: Sabotage, place: str | None) -> set[str]:
    """What a stranger reaches of Acme's vectors while the filter of a place is missing."""
    ours, theirs = VectorStore.for_client(ACME), VectorStore.for_client(STRANGER)
    own = [point("rain and boots of mine", EAST), point("a tent for rain", NORTH), point("laces", UP)]
    theirs.upsert(own)
    alone = search(STRANGER)
    secrets = [point("boots of rain", NORTH), *(point("boots in the rain, boots", NORTH) for _ in range(20))]
    ours.upsert(secrets)
    before = search(ACME)
    reached = set()

    def look(name: str, harmless: Callable[[], bool]) -> None:
        if not harmless():
            reached.add(name)

    with sabotage(place):
        look("search", lambda: search(STRANGER) == alone)
        look("count", lambda: (theirs.count(), theirs.count(1)) == (len(own), len(own)))
        look("ids", lambda: theirs.ids() == {p.id for p in own})
        theirs.upsert([Point(secrets[0].id, 1, "forged", UP[None])])
    look("overwrite", lambda: search(ACME) == before and secrets[0].id in ours.ids())
    with sabotage(place):
        theirs.delete_version(secrets[0].version_id)
    look("delete version", lambda: ours.count() == len(secrets))
    with sabotage(place):
        theirs.delete_all()
    look("delete all", lambda: ours.count() == len(secrets))
    return reached


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS, settings.DATA_DIR = "four", 4, tmp_path
    embedded.release()
    server.disconnect()
    yield
    embedded.release()
    server.disconnect()


# --- the embedded engine -----------------------------------------------------------------------------------------


class SabotagedEngine:
    """The engine's module as the store sees it, with one filter left out of what is asked."""

    EVERYTHING = qdrant_edge.Filter()

    def __init__(self, missing: str | None):
        self.missing, self.seen = missing, set[str]()
        self.leg, self.among = "", list[Any]()
        self._only, self._params = shards._only, shards._params
        self.UpdateOperation = self

    def __getattr__(self, name: str) -> Any:
        return getattr(qdrant_edge, name)

    def at(self, place: str, condition: Any) -> Any:
        self.seen.add(place)
        return self.EVERYTHING if place == self.missing else condition

    def only(self, client_id: uuid.UUID, version_id: int | None = None, among: Any = None) -> Any:
        condition = self._only(client_id, version_id, among)
        self.among += [condition] if among is not None else []
        return condition

    def params(self, leg: str, client_id: uuid.UUID) -> Any:
        self.leg = leg
        return self._params(leg, client_id)

    def QueryRequest(self, *, filter: Any, **asked: Any) -> Any:
        place = self.leg + (" among" if any(filter is condition for condition in self.among) else "")
        return qdrant_edge.QueryRequest(filter=self.at(place, filter), **asked)

    def IdfParams(self, corpus: Any) -> Any:
        return qdrant_edge.IdfParams(corpus=self.at("idf of coverage" if self.leg == legs.COVERAGE else "idf", corpus))

    def CountRequest(self, *, filter: Any, exact: bool = True) -> Any:
        return qdrant_edge.CountRequest(exact=exact, filter=self.at("count" if exact else "passages", filter))

    def ScrollRequest(self, offset: Any, limit: int, condition: Any, **asked: Any) -> Any:
        return qdrant_edge.ScrollRequest(offset, limit, self.at("scroll", condition), **asked)

    def upsert_points(self, rows: Any, condition: Any) -> Any:
        return qdrant_edge.UpdateOperation.upsert_points(rows, condition=self.at("upsert", condition))

    def delete_points_by_filter(self, condition: Any) -> Any:
        return qdrant_edge.UpdateOperation.delete_points_by_filter(self.at("delete", condition))

    def create_field_index(self, *field: Any) -> Any:
        return qdrant_edge.UpdateOperation.create_field_index(*field)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> tuple[Sabotage, set[str]]:
    seen: set[str] = set()

    @contextmanager
    def sabotage(place: str | None) -> Iterator[None]:
        engine = SabotagedEngine(place)
        with monkeypatch.context() as patched:
            patched.setattr(shards, "edge", engine)
            patched.setattr(shards, "_only", engine.only)
            patched.setattr(shards, "_params", engine.params)
            yield
        seen.update(engine.seen)

    return sabotage, seen


def test_the_embedded_store_lets_nothing_through(engine: tuple[Sabotage, set[str]]) -> None:
    sabotage, seen = engine
    assert leaks(sabotage, None) == set()
    assert seen == set(PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_without_one_of_its_filters_the_embedded_store_leaks(engine: tuple[Sabotage, set[str]], place: str) -> None:
    assert leaks(engine[0], place)


# --- a server, at the other end of the wire ----------------------------------------------------------------------


def filters_of(request: Request) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(place, the object that holds the filter, under which name) for each filter in a request."""
    body, verb = request.body, request.path.partition("/points")[2]
    if verb == "":
        yield "upsert", body, "update_filter"
    elif verb == "/count":
        yield ("passages" if body.get("exact") is False else "count"), body, "filter"
    elif verb in ("/scroll", "/delete"):
        yield verb[1:], body, "filter"
    for query in body.get("searches", ()):
        idf = ((query.get("params") or {}).get("idf") or {}).get("corpus")
        coverage = "'version_id'" in str(idf)
        among = " among" if "has_id" in str(query["filter"]) else ""
        yield (legs.COVERAGE if coverage else query["using"]) + among, query, "filter"
        if idf:
            yield "idf of coverage" if coverage else "idf", query["params"]["idf"], "corpus"


@pytest.fixture
def wire(settings: Any) -> Iterator[tuple[Sabotage, set[str], SmallQdrant]]:
    seen: set[str] = set()
    with small_qdrant() as qdrant:
        settings.QDRANT_URL = qdrant.url

        @contextmanager
        def sabotage(place: str | None) -> Iterator[None]:
            def strip(request: Request) -> None:
                if "/points" in request.path:
                    for found, holder, name in filters_of(request):
                        seen.add(found)
                        if found == place:
                            holder[name] = {}

            qdrant.tamper = strip
            yield
            qdrant.tamper = None

        yield sabotage, seen, qdrant


def test_the_servers_store_lets_nothing_through(wire: tuple[Sabotage, set[str], SmallQdrant]) -> None:
    sabotage, seen, _ = wire
    assert leaks(sabotage, None) == set()
    assert seen == set(PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_without_one_of_its_filters_the_servers_store_leaks(
    wire: tuple[Sabotage, set[str], SmallQdrant], place: str
) -> None:
    assert leaks(wire[0], place)
