"""What leaves the client library for a Qdrant server, seen at the other end of the wire."""

import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync

from knowledge.vectors import Point, VectorError, VectorStore, server
from tests.contracts.qdrant_server import Refused, SmallQdrant, small_qdrant

ACME = uuid.uuid4()
NORTH = np.eye(4, dtype=np.float32)[0]
NAME = "passages-four@4"


@pytest.fixture
def qdrant(settings: Any) -> Iterator[SmallQdrant]:
    settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS = "four", 4
    with small_qdrant() as small:
        settings.QDRANT_URL = small.url
        server.disconnect()
        yield small
    server.disconnect()


def test_a_collection_on_a_cluster_is_made_with_its_shards_and_copies(qdrant: SmallQdrant, settings: Any) -> None:
    settings.QDRANT_SHARDS, settings.QDRANT_REPLICAS = 6, 2
    VectorStore.for_client(ACME).upsert(points())
    made = qdrant.collections[NAME]
    assert (made["shard_number"], made["replication_factor"]) == (6, 2)


def points(count: int = 2) -> list[Point]:
    return [Point(uuid.uuid4(), 1, f"boots {n}", NORTH[None]) for n in range(count)]


def only_ours(condition: Any) -> bool:
    """Does this filter, by itself, let nothing but the client's points through?"""
    wanted = {"key": "client_id", "match": {"value": str(ACME)}}
    return isinstance(condition, dict) and wanted in condition.get("must", []) and not condition.get("should")


def unconditioned(body: dict[str, Any]) -> list[Any]:
    """The parts of a request that reach points without the client's condition, at any depth."""
    found = []
    if "points" in body:  # an upsert: a condition on what it replaces, and the client in what it writes
        theirs = [p for p in body["points"] if p["payload"]["client_id"] != str(ACME)]
        return theirs + ([] if only_ours(body.get("update_filter")) else [body])
    for query in body.get("searches", [body]):
        if not only_ours(query.get("filter")):
            found.append(query)
        for prefetch in query.get("prefetch") or []:
            found += unconditioned(prefetch)
        corpus = ((query.get("params") or {}).get("idf") or {}).get("corpus")
        if query.get("using") == "bm25" and not only_ours(corpus):
            found.append(query)
    return found


def test_every_request_that_touches_points_carries_the_clients_condition(qdrant: SmallQdrant) -> None:
    store = VectorStore.for_client(ACME)
    store.upsert(points())
    async_to_sync(store.search)(NORTH, "boots", 1)
    store.count()
    store.count(1)
    store.ids()
    store.ids(1)
    store.delete_version(1)
    store.delete_all()
    touching = [r for r in qdrant.requests if "/points" in r.path]
    assert {r.path.split("/points")[1] for r in touching} == {"", "/query/batch", "/count", "/scroll", "/delete"}
    assert [r for r in touching if unconditioned(r.body)] == []


def test_the_check_itself_notices_a_missing_condition() -> None:
    ours = {"must": [{"key": "client_id", "match": {"value": str(ACME)}}]}
    theirs = {"must": [{"key": "client_id", "match": {"value": str(uuid.uuid4())}}]}
    assert unconditioned({"filter": ours, "prefetch": [{"filter": ours}]}) == []
    assert unconditioned({"filter": ours, "prefetch": [{"filter": theirs}]})
    assert unconditioned({"filter": ours, "prefetch": [{}]})
    assert unconditioned({"searches": [{"filter": ours}, {"filter": ours, "using": "bm25"}]})
    assert unconditioned({"filter": ours | {"should": [{}]}})
    assert unconditioned({"points": []})


def test_the_collection_is_made_for_tenants(qdrant: SmallQdrant) -> None:
    VectorStore.for_client(ACME).count()
    made = qdrant.collections[NAME]
    assert made["hnsw_config"] == {"m": 0, "payload_m": 16}
    assert made["sparse_vectors"] == {"bm25": {"modifier": "idf"}}
    assert made["strict_mode_config"]["unindexed_filtering_retrieve"] is False
    assert qdrant.indexes[NAME] == {
        "client_id": {"type": "keyword", "is_tenant": True},
        "version_id": "integer",
    }


def test_several_processes_may_make_the_collection_at_once(qdrant: SmallQdrant) -> None:
    def first_use(_: int) -> int:
        server._ensured.clear()  # as another process, which knows nothing yet
        return VectorStore.for_client(ACME).count()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(first_use, range(8))) == [0] * 8


def test_a_collection_that_vanished_is_made_again(qdrant: SmallQdrant) -> None:
    store = VectorStore.for_client(ACME)
    store.upsert(points())
    qdrant.store.delete_collection(NAME)
    del qdrant.collections[NAME]
    assert async_to_sync(store.search)(NORTH, "boots", 5) == []
    store.upsert(points(3))
    assert store.count() == 3


def test_a_busy_server_is_asked_again_as_it_says(qdrant: SmallQdrant) -> None:
    store = VectorStore.for_client(ACME)
    store.count()
    qdrant.failures += [Refused(429, "slow down", {"Retry-After": "1"}), Refused(503, "starting")]
    store.upsert(points())
    qdrant.failures += [Refused(500, "oops")]
    assert len(async_to_sync(store.search)(NORTH, "boots", 5)) == 2


def test_a_refusal_that_will_not_pass_is_told_at_once(qdrant: SmallQdrant) -> None:
    store = VectorStore.for_client(ACME)
    store.count()
    qdrant.failures += [Refused(403, "forbidden")]
    with pytest.raises(VectorError, match="403"):
        store.count()


def test_a_server_that_is_not_there_fails_within_its_deadline(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings.QDRANT_URL = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setattr(server, "PATIENCE_SECONDS", 0.5)
        server.disconnect()
        with pytest.raises(VectorError):
            VectorStore.for_client(ACME, "four@4").count()
        with pytest.raises(VectorError):
            VectorStore.for_client(ACME)
    server.disconnect()
