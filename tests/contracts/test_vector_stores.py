"""What every vector store keeps: the embedded one, the server's, and a real server's when QDRANT_URL names one."""

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync

from knowledge.vectors import Candidate, Point, VectorError, VectorStore, embedded, server
from tests.contracts.qdrant_server import small_qdrant

MODEL = "four@4"
REAL = os.environ.get("TEST_QDRANT_URL", "")
ACME, STRANGER = uuid.uuid4(), uuid.uuid4()
NORTH, EAST, UP = np.eye(4, dtype=np.float32)[:3]


@pytest.fixture(params=["embedded", "server", *(["real server"] if REAL else [])])
def back_end(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Iterator[str]:
    settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS = "four", 4
    settings.DATA_DIR = tmp_path
    settings.QDRANT_COLLECTION = f"test-{uuid.uuid4().hex[:12]}"
    embedded.release()
    server.disconnect()
    if request.param == "embedded":
        yield request.param
    elif request.param == "real server":
        settings.QDRANT_URL = REAL
        yield request.param
        for model in (MODEL, "other@4"):
            server._client().delete_collection(server.collection_name(model))
    else:
        with small_qdrant() as qdrant:
            settings.QDRANT_URL = qdrant.url
            yield request.param
    embedded.release()
    server.disconnect()


def point(text: str, *vectors: np.ndarray, version: int = 1, id: uuid.UUID | None = None) -> Point:
    return Point(id or uuid.uuid4(), version, text, np.stack(vectors or (NORTH,)))


def search(store: VectorStore, vector: np.ndarray, text: str, limit: int = 10) -> list[Candidate]:
    return sorted(async_to_sync(store.search)(vector, text, limit), key=lambda c: -c.dense)


def test_a_new_client_has_nothing(back_end: str) -> None:
    store = VectorStore.for_client(ACME)
    assert (search(store, NORTH, "boots"), store.count(), store.ids()) == ([], 0, set())


def test_finds_by_vector_and_by_words_and_scores_both(back_end: str) -> None:
    store = VectorStore.for_client(ACME)
    near, worded = point("nothing in common", NORTH), point("boots and laces", EAST)
    store.upsert([near, worded])
    for limit in (1, 10):  # with 1 each leg finds one of the two, and its other score is asked for
        found = search(store, NORTH, "boots", limit)
        assert [(c.id, round(c.dense, 3)) for c in found] == [(near.id, 1.0), (worded.id, 0.0)]
        assert found[0].sparse == 0
        assert 0.3 < found[1].sparse <= 1


def test_a_passage_is_as_near_as_its_best_window(back_end: str) -> None:
    store = VectorStore.for_client(ACME)
    long = point("long", EAST, UP, NORTH)
    store.upsert([long, point("short", EAST)])
    best = search(store, NORTH, "unsaid")[0]
    assert (best.id, round(best.dense, 3)) == (long.id, 1.0)


def test_the_same_points_again_change_nothing(back_end: str) -> None:
    store = VectorStore.for_client(ACME)
    points = [point("boots", NORTH), point("laces", EAST)]
    store.upsert(points)
    store.upsert(points)
    assert store.ids() == {p.id for p in points}
    assert store.count() == 2


def test_an_upsert_replaces_the_text_and_vectors_of_its_ids(back_end: str) -> None:
    store = VectorStore.for_client(ACME)
    old = point("boots", NORTH)
    store.upsert([old])
    store.upsert([point("laces", EAST, id=old.id)])
    [only] = search(store, EAST, "boots")
    assert (only.id, round(only.dense, 3), only.sparse) == (old.id, 1.0, 0)


def test_a_stranger_neither_sees_nor_touches_a_clients_points(back_end: str) -> None:
    ours, theirs = VectorStore.for_client(ACME), VectorStore.for_client(STRANGER)
    secret = point("boots secret", NORTH)
    ours.upsert([secret])
    before = search(ours, NORTH, "boots secret")
    theirs.upsert([point("laces", EAST, version=secret.version_id)])
    theirs.upsert([point("boots forged", EAST, id=secret.id)])  # another client's id, by whatever mistake
    theirs.delete_version(secret.version_id)
    theirs.delete([secret.id])
    theirs.delete_all()
    assert search(ours, NORTH, "boots secret") == before
    assert (search(theirs, NORTH, "boots secret"), theirs.count(), theirs.ids()) == ([], 0, set())


def test_scores_do_not_depend_on_what_other_clients_have(back_end: str) -> None:
    ours, theirs = VectorStore.for_client(ACME), VectorStore.for_client(STRANGER)
    ours.upsert([point("boots for rain", NORTH), point("laces for boots", EAST), point("a tent", UP)])
    before = search(ours, NORTH, "boots in the rain")
    theirs.upsert([point("rain rain rain", UP) for _ in range(20)])
    assert search(ours, NORTH, "boots in the rain") == before


def test_deleting_a_version_leaves_the_others(back_end: str) -> None:
    store = VectorStore.for_client(ACME)
    old, new = point("boots", NORTH, version=1), point("boots", NORTH, version=2)
    store.upsert([old, new])
    store.delete_version(1)
    store.delete_version(1)
    assert (store.count(), store.count(1), store.count(2), store.ids(2)) == (1, 0, 1, {new.id})


def test_deleting_ids_leaves_the_others(back_end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAGE", 2)
    store = VectorStore.for_client(ACME)
    points = [point("boots", NORTH) for _ in range(5)]
    store.upsert(points)
    store.delete([p.id for p in points[:3]] + [uuid.uuid4()])
    store.delete([])
    assert store.ids() == {p.id for p in points[3:]}


def test_lists_more_ids_than_a_page_holds(back_end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAGE", 7)
    monkeypatch.setattr("knowledge.vectors.shards.PAGE", 7)
    store = VectorStore.for_client(ACME)
    points = [point(f"text {n}", NORTH) for n in range(30)]
    store.upsert(points)
    assert store.ids() == {p.id for p in points}


def test_a_question_of_stop_words_is_found_by_vector_alone(back_end: str) -> None:
    store = VectorStore.for_client(ACME)
    about_us = point("who we are", NORTH)
    store.upsert([about_us])
    [found] = search(store, NORTH, "who are you?")
    assert (found.id, round(found.dense, 3), found.sparse) == (about_us.id, 1.0, 0)


def test_a_vector_of_the_wrong_size_is_refused(back_end: str) -> None:
    store = VectorStore.for_client(ACME)
    with pytest.raises(VectorError):
        store.upsert([Point(uuid.uuid4(), 1, "boots", np.ones((1, 5), np.float32))])
    assert store.count() == 0


def test_another_model_is_built_beside_the_live_one_and_then_takes_its_place(back_end: str) -> None:
    VectorStore.for_client(ACME).upsert([point("boots", NORTH)])
    beside = VectorStore.for_client(ACME, "other@4")
    beside.upsert([point("boots", EAST), point("laces", EAST)])
    assert VectorStore.for_client(ACME).count() == 1
    VectorStore.set_live_model("other@4")
    assert VectorStore.for_client(ACME).count() == 2


def test_there_is_no_store_without_for_client() -> None:
    for kind in (embedded.EmbeddedStore, server.ServerStore):
        with pytest.raises(TypeError):
            kind(ACME, MODEL, None)


def test_many_searches_at_once(back_end: str) -> None:
    store = VectorStore.for_client(ACME)
    points = [point("boots", NORTH), point("laces", EAST)]
    store.upsert(points)

    async def many() -> list[list[Candidate]]:
        return await asyncio.gather(*(store.search(NORTH, "boots", 5) for _ in range(20)))

    assert {tuple(sorted((c.id.int, round(c.dense, 3)) for c in found)) for found in async_to_sync(many)()} == {
        tuple(sorted([(points[0].id.int, 1.0), (points[1].id.int, 0.0)]))
    }
