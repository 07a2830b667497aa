"""Vectors rebuilt from rows, moved to another model while questions are answered, and compared with the rows."""

import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from pytest_django import Settings

from knowledge import documents, embeddings
from knowledge.embeddings import EmbeddingError, get_embedder
from knowledge.models import Chunk, Document
from knowledge.pipeline import reindex
from knowledge.pipeline.lease import claim_next
from knowledge.vectors import Point, VectorStore, server
from tenants.models import Client
from tenants.scoping import client_scope
from tests.contracts.embedding_server import Bad, Provider, embedding_provider
from tests.contracts.qdrant_server import small_qdrant
from tests.knowledge.ingestion import assert_consistent, points, texts, upload, work

OLD, NEW, NARROW = "all-minilm-l6-v2@384", "test-embedding@8", "test-embedding@4"
QUESTION = "How long do I have to return boots?"
pytestmark = pytest.mark.django_db


@pytest.fixture(params=["embedded", "server"])
def provider(
    request: pytest.FixtureRequest, settings: Settings, own_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Provider]:
    """A provider of embeddings that nobody uses yet, beside either store."""
    monkeypatch.setattr(reindex, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("knowledge.embeddings.openai.PASSAGES_SECONDS", 3.0)
    with embedding_provider() as provider, small_qdrant() as qdrant:
        settings.OPENAI_API_KEY, settings.EMBEDDING_BASE_URL = "sk-test", provider.url
        if request.param == "server":
            settings.QDRANT_URL = qdrant.url
            monkeypatch.setattr("knowledge.vectors.server.LIVE_MODEL_SECONDS", 0.0)
            server.disconnect()
        VectorStore.set_live_model(VectorStore.live_model())
        yield provider
        server.disconnect()
        embeddings._embedders.clear()


def want(settings: Settings, key: str) -> None:
    name, _, dimensions = key.rpartition("@")
    settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS = name, int(dimensions)


def answers(client: Client) -> bool:
    """Does the live index find something of the client?"""
    store = VectorStore.for_client(client.pk)
    vector = async_to_sync(get_embedder(store.model).embed_question)(QUESTION)
    return async_to_sync(store.search)(vector, QUESTION, 50) != []


def learn(client: Client, count: int = 3) -> None:
    for number in range(count):
        upload(client, f"Boots can be returned within {number} days. {uuid.uuid4()}", name=f"doc {number}")
    work()


def count(client: Client, model: str) -> int:
    return VectorStore.for_client(client.pk, model).count()


def test_lost_vectors_are_rebuilt_from_the_rows(acme: Client, stranger: Client, own_data: Path) -> None:
    learn(acme)
    learn(stranger)
    before, theirs = points(acme), points(stranger)
    VectorStore.for_client(acme.pk).delete_all()
    call_command("reindex", client=str(acme.pk), verbosity=0)
    assert points(acme) == before and points(stranger) == theirs


def test_only_what_was_asked_for_is_rebuilt(acme: Client, own_data: Path) -> None:
    learn(acme)
    VectorStore.for_client(acme.pk).delete_all()
    call_command("reindex", document="doc 1")
    assert len(points(acme)) == 1
    with pytest.raises(CommandError, match="No such document"):
        call_command("reindex", document="doc 9")
    with pytest.raises(CommandError, match="no clientId"):
        call_command("reindex", "--client", "x")


def test_another_model_is_filled_beside_the_live_one_and_then_answers(
    acme: Client, stranger: Client, provider: Provider, settings: Settings
) -> None:
    learn(acme)
    learn(stranger, 1)
    want(settings, NEW)
    assert reindex.live_model() == OLD
    seen = []
    done = reindex.move(NEW, lambda more: seen.append((more, reindex.live_model(), answers(acme))))
    assert done == 4 and seen == [(1, OLD, True)] * 4
    assert reindex.live_model() == NEW
    assert (count(acme, OLD), count(stranger, OLD)) == (0, 0)
    assert_consistent(acme)
    assert_consistent(stranger)
    upload(acme, "What comes later.", name="later")
    work()
    assert len(points(acme)) == 4
    want(settings, NARROW)
    assert reindex.live_model() == NEW  # what the settings want answers after a reindex only
    provider.script = [Bad(401)]
    with pytest.raises(CommandError, match="Run the command again"):
        call_command("reindex")
    assert reindex.live_model() == NEW and len(points(acme)) == 4


def test_every_question_during_a_move_is_answered(
    acme: Client, provider: Provider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindex, "SETTLE_SECONDS", 3.0)
    learn(acme)
    want(settings, NEW)
    answered: list[bool] = []
    moved = threading.Event()

    def ask() -> None:
        while not moved.is_set():
            answered.append(answers(acme))

    visitor = threading.Thread(target=ask)
    visitor.start()
    try:
        reindex.move(NEW)
    finally:
        moved.set()
        visitor.join()
    assert len(answered) > 3 and all(answered)
    assert reindex.live_model() == NEW and count(acme, OLD) == 0


def test_a_move_that_was_cut_short_goes_on_where_it_was(acme: Client, provider: Provider, settings: Settings) -> None:
    learn(acme, 4)
    want(settings, NEW)
    provider.script = []

    def cut(more: int) -> None:
        if len(provider.requests) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reindex.move(NEW, cut)
    assert reindex.live_model() == OLD and answers(acme)
    assert reindex.move(NEW) == 2
    assert len(provider.requests) == 4 and reindex.live_model() == NEW
    assert_consistent(acme)


def test_documents_that_come_and_go_during_a_move_are_neither_lost_nor_kept(
    acme: Client, provider: Provider, settings: Settings
) -> None:
    learn(acme)
    want(settings, NEW)
    turn = iter(range(100))

    def meanwhile(more: int) -> None:
        match next(turn):
            case 0:
                documents.remove(acme.pk, "doc 0")
            case 1:
                upload(acme, f"Something new. {uuid.uuid4()}", name="new")
                work()

    reindex.move(NEW, meanwhile)
    assert sorted(texts(acme)) == ["doc 1", "doc 2", "new"]
    assert_consistent(acme)


def test_an_ingestion_under_way_follows_the_switch(acme: Client, provider: Provider, settings: Settings) -> None:
    from knowledge.pipeline.ingest import Run

    learn(acme)
    want(settings, NEW)
    upload(acme, f"Late. {uuid.uuid4()}", name="late")
    run = Run(claim_next())
    reindex.move(NEW)
    run.attempt()
    assert "late" in texts(acme) and count(acme, OLD) == 0
    assert_consistent(acme)


def test_an_outage_of_the_provider_stops_a_move_before_the_switch(
    acme: Client, provider: Provider, settings: Settings
) -> None:
    learn(acme)
    want(settings, NEW)
    provider.script = [Bad(500)] * 1000
    with pytest.raises(EmbeddingError):
        reindex.move(NEW)
    assert reindex.live_model() == OLD and answers(acme)


# --- check_index ------------------------------------------------------------------------------------------------


def test_what_differs_is_counted_and_repaired(
    acme: Client, stranger: Client, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(acme)
    learn(stranger, 1)
    store = VectorStore.for_client(acme.pk)
    with client_scope(acme.pk):
        lost = Document.objects.get(external_id="doc 1").live_id
    store.delete_version(lost)
    vector = np.eye(1, 384, dtype=np.float32)
    store.upsert([Point(uuid.uuid4(), 10**9 + n, "of a deleted document", vector) for n in range(2)])
    stray = own_data / "files" / str(acme.pk) / "stray"
    stray.write_bytes(b"x")
    os.utime(stray, (time.time() - 7200,) * 2)
    (own_data / "files" / str(acme.pk) / "fresh").write_bytes(b"of an upload that is not committed yet")
    with pytest.raises(CommandError, match="--repair"):
        call_command("check_index")
    said = capsys.readouterr().out.splitlines()
    assert said == ["Acme Outdoor: 1 points missing, 2 surplus, 1 files of no document", "4 passages, 5 points"]
    call_command("check_index", repair=True)
    assert capsys.readouterr().out.splitlines()[-1] == "4 passages, 4 points"
    assert_consistent(acme)
    assert_consistent(stranger)
    assert not stray.exists() and stray.with_name("fresh").exists()
    call_command("check_index", client=str(stranger.pk))
    assert capsys.readouterr().out.splitlines() == ["1 passages, 1 points"]


def test_an_ingestion_under_way_is_no_difference(acme: Client, own_data: Path) -> None:
    learn(acme, 1)
    upload(acme, "Another text.", name="doc 0")
    from knowledge.pipeline.ingest import Run

    run = Run(claim_next())
    run._index(run._read())  # everything but the switch
    with client_scope(acme.pk):
        assert Chunk.objects.count() == 2
    call_command("check_index")
    run._switch()
    assert texts(acme) == {"doc 0": ["Another text."]}
