"""Ingestion: what it ends in, whoever dies, deletes, uploads again or delivers twice meanwhile."""

import itertools
import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from billing.models import UsageRecord
from knowledge import documents, embeddings
from knowledge.models import Chunk, Document, DocumentVersion, Remains
from knowledge.parsers import parse
from knowledge.pipeline import ingest, remains
from knowledge.pipeline.ingest import MAX_ATTEMPTS, Run, ingest_next
from knowledge.pipeline.lease import Overtaken, claim_next, waiting
from knowledge.vectors import VectorStore
from tenants.models import Client
from tenants.scoping import client_scope
from tests.contracts.embedding_server import DIMENSIONS, Bad, Provider, embedding_provider
from tests.knowledge.ingestion import assert_consistent, points, texts, upload, version, work

LONG = "\n\n".join(f"Paragraph {n}. " + f"Boots number {n} keep feet dry and warm. " * 20 for n in range(12))
STEPS = [
    (Run, "_read"),
    (ingest, "parse"),
    (ingest, "chunk"),
    (Run, "_store_chunks"),
    (ingest, "store_chunks"),
    (VectorStore, "for_client"),
    (Run, "_switch"),
]
at_any_moment = pytest.mark.parametrize("step", STEPS, ids=[name for _, name in STEPS])
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_data(own_data: Path) -> None: ...


@pytest.fixture
def provider(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A provider of embeddings that follows a script, and no patience with it."""
    monkeypatch.setattr("knowledge.embeddings.openai.PASSAGES_SECONDS", 2.0)
    monkeypatch.setattr("knowledge.embeddings.openai.REQUEST_SECONDS", 1.0)
    with embedding_provider() as provider:
        settings.OPENAI_API_KEY = "sk-test"
        settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS = "test-embedding", DIMENSIONS
        settings.EMBEDDING_BASE_URL = provider.url
        settings.INGEST_RETRY_SECONDS = 0.0
        embeddings._embedders.clear()
        yield provider
        embeddings._embedders.clear()


def before(monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str], act: Callable[[], object]) -> None:
    """Have `act` happen once, just before a step of the ingestion."""
    original = getattr(*step)
    left = [act]

    def acting(*arguments: Any, **more: Any) -> Any:
        if left:
            left.pop()()
        return original(*arguments, **more)

    monkeypatch.setattr(*step, acting)


def die(client: Client, pk: int) -> None:
    """Let the run that holds the version be silent for longer than a lease lasts."""
    with client_scope(client.pk):
        DocumentVersion.objects.filter(pk=pk).update(heartbeat=timezone.now() - timedelta(hours=1))


def test_chunks_are_spans_of_the_text_with_deterministic_points(acme: Client, stranger: Client) -> None:
    uploaded = upload(acme, LONG)
    upload(stranger, LONG)
    assert work() == 2
    done = version(acme, uploaded.pk)
    with client_scope(acme.pk):
        chunks = list(Chunk.objects.all())
    assert (done.status, done.attempts, done.chunks_total, done.lease) == ("completed", 1, len(chunks), None)
    assert len(chunks) > 3 and [c.index for c in chunks] == list(range(len(chunks)))
    assert all(done.text[c.start : c.end] == c.text for c in chunks)
    assert_consistent(acme)
    assert_consistent(stranger)
    assert not points(acme) & points(stranger)


@pytest.mark.django_db(transaction=True)
def test_the_old_version_answers_until_the_switch(
    acme: Client, monkeypatch: pytest.MonkeyPatch, own_data: Path
) -> None:
    first = upload(acme, "Boots: 60 days.")
    work()
    second = upload(acme, "Boots: 90 days.")
    seen = []
    for step in STEPS:
        before(monkeypatch, step, lambda: seen.append((texts(acme), len(points(acme)) >= 1)))
    work()
    assert seen == [({"doc": ["Boots: 60 days."]}, True)] * len(STEPS)
    assert texts(acme) == {"doc": ["Boots: 90 days."]}
    assert (first.number, second.number) == (1, 2)
    assert_consistent(acme)
    old = version(acme, first.pk)
    assert (old.text, old.file.name) == ("", "")
    assert len([f for f in (own_data / "files").rglob("*") if f.is_file()]) == 1


def test_a_failed_new_version_leaves_the_old_one_answering(acme: Client, own_data: Path) -> None:
    upload(acme, "Boots: 60 days.")
    work()
    before = points(acme)
    assert upload(acme, " \n ").number == 2
    work()
    state = documents.state(documents.find(acme.pk, "doc"))
    assert (state["status"], state["errorMessage"], state["qdrantPointIds"]) == (
        "failed",
        "The file holds no text.",
        [],
    )
    assert texts(acme) == {"doc": ["Boots: 60 days."]} and points(acme) == before


@at_any_moment
def test_a_deletion_wins_at_any_moment(
    acme: Client, stranger: Client, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str]
) -> None:
    upload(acme, LONG)
    before(monkeypatch, step, lambda: documents.remove(acme.pk, "doc"))
    work()
    with client_scope(acme.pk):
        left = (Document.objects.count(), DocumentVersion.objects.count(), Chunk.objects.count())
    assert left == (0, 0, 0) and points(acme) == set()


@at_any_moment
def test_a_newer_upload_wins_at_any_moment(
    acme: Client, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str]
) -> None:
    old = upload(acme, LONG)
    before(monkeypatch, step, lambda: upload(acme, "The newer text."))
    work()
    assert texts(acme) == {"doc": ["The newer text."]}
    assert version(acme, old.pk).status == "failed"
    remains.sweep()
    assert_consistent(acme)


@at_any_moment
def test_a_second_run_takes_over_from_a_silent_one_without_doubles(
    acme: Client, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str]
) -> None:
    """The first run was only slow: it wakes up after the second has done all the work."""
    uploaded = upload(acme, LONG)

    def overtake() -> None:
        die(acme, uploaded.pk)
        assert work() == 1

    before(monkeypatch, step, overtake)
    assert work() == 1
    done = version(acme, uploaded.pk)
    assert (done.status, done.attempts, done.error_message) == ("completed", 2, "")
    assert_consistent(acme)


def test_an_attempt_is_counted_before_the_file_is_opened(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = upload(acme)
    counted = []

    def parsing(*arguments: Any) -> Any:
        counted.append(version(acme, uploaded.pk).attempts)
        return parse(*arguments)

    monkeypatch.setattr(ingest, "parse", parsing)
    work()
    assert counted == [1]


def test_after_three_killed_attempts_a_document_fails_and_holds_nobody_up(acme: Client) -> None:
    killer = upload(acme, "kills", name="killer")
    upload(acme, "harmless", name="harmless")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        lease = claim_next()
        assert lease is not None and (lease.version.pk, lease.version.attempts) == (killer.pk, attempt)
        if attempt == 1:
            assert work() == 1  # the one behind it, in another worker
        die(acme, killer.pk)
    work()
    failed = version(acme, killer.pk)
    assert (failed.status, failed.error_message, failed.lease) == ("failed", ingest.TOO_DEMANDING, None)
    assert texts(acme) == {"harmless": ["harmless"]}


def test_an_unforeseen_fault_is_tried_three_times_and_told_without_its_inside(
    acme: Client, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.INGEST_RETRY_SECONDS = 0.0
    uploaded = upload(acme)
    monkeypatch.setattr(ingest, "chunk", lambda parsed: 1 / 0)
    assert work() == 3
    failed = version(acme, uploaded.pk)
    assert (failed.status, failed.error_message) == ("failed", ingest.OUR_FAULT)


def test_a_file_that_is_not_where_it_was_stored_is_no_damaged_file(acme: Client, settings: Settings) -> None:
    """As where web and worker processes share no volume."""
    settings.INGEST_RETRY_SECONDS = 0.0
    uploaded = upload(acme)
    Path(uploaded.file.path).rename(Path(uploaded.file.path).with_suffix(".away"))
    assert work() == 3
    failed = version(acme, uploaded.pk)
    assert (failed.status, failed.error_message) == ("failed", ingest.OUR_FAULT)


def test_a_retry_waits_longer_each_time(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = upload(acme)
    monkeypatch.setattr(ingest, "chunk", lambda parsed: 1 / 0)
    waits = []
    for _ in range(2):
        assert work() == 1
        put_off = version(acme, uploaded.pk)
        assert (put_off.status, put_off.lease) == ("pending", None)
        waits.append((put_off.not_before - timezone.now()).total_seconds())
        with client_scope(acme.pk):
            DocumentVersion.objects.filter(pk=uploaded.pk).update(not_before=timezone.now())
    assert 8 < waits[0] <= 10 and 55 < waits[1] <= 60


def test_one_clients_many_files_do_not_starve_anothers_one(acme: Client, stranger: Client) -> None:
    for number in range(8):
        upload(acme, f"text {number}", name=f"doc {number}")
    upload(stranger, "mine", name="mine")
    order = []
    while lease := claim_next():  # by workers that are all still busy
        with client_scope(lease.version.client_id):
            order.append((lease.version.client_id, lease.version.document.external_id))
    assert order[:3] == [(acme.pk, "doc 0"), (stranger.pk, "mine"), (acme.pk, "doc 1")]
    assert len(order) == 9
    upload(stranger, "more", name="more")
    upload(acme, "last", name="last")
    assert [claim_next().version.client_id for _ in range(2)] == [stranger.pk, acme.pk]


def test_the_statement_of_a_claim_and_the_figures_agree_on_who_waits(acme: Client) -> None:
    now = timezone.now()
    past, soon, far = now - timedelta(days=1), now + timedelta(seconds=20), now + timedelta(days=1)
    held = [(None, None), (None, now), *((uuid.uuid4(), heartbeat) for heartbeat in (past, now, soon, far))]
    with client_scope(acme.pk):
        document = Document.objects.create(external_id="doc")
        DocumentVersion.objects.bulk_create(
            DocumentVersion(document=document, number=number, size=1, status=s, lease=lease, heartbeat=h, not_before=n)
            for number, (s, (lease, h), n) in enumerate(
                itertools.product(DocumentVersion.Status.values, held, (None, past, soon, far))
            )
        )
        due = set(DocumentVersion.objects.filter(waiting()).values_list("pk", flat=True))
    claimed = []
    while lease := claim_next():
        claimed.append(lease.version.pk)
    assert set(claimed) == due and len(claimed) == len(due) == 5 * 4 * 3


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_share_the_work_without_doing_any_twice(acme: Client, stranger: Client) -> None:
    for number in range(6):
        upload(acme, f"text {number}", name=f"doc {number}")
        upload(stranger, f"text {number}", name=f"doc {number}")
    attempts = []

    def worker() -> None:
        attempts.append(work())
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(attempts) == 12
    for client in (acme, stranger):
        assert texts(client) == {f"doc {n}": [f"text {n}"] for n in range(6)}
        assert_consistent(client)


@pytest.mark.django_db(transaction=True)
def test_uploads_deletions_and_runs_at_once_never_lock_each_other_up(acme: Client) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def until_stopped(act: Callable[[int], object]) -> threading.Thread:
        def run() -> None:
            try:
                for turn in range(10_000):
                    if stop.is_set():
                        break
                    act(turn)
            except Exception as error:  # noqa: BLE001 - reported by the test
                failures.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def remove(turn: int) -> None:
        time.sleep(0.05)
        try:
            documents.remove(acme.pk, f"doc {turn % 3}")
        except documents.ApiError as error:
            assert error.code == "NOT_FOUND"

    threads = [
        until_stopped(lambda turn: upload(acme, f"text {turn}", name=f"doc {turn % 3}")),
        until_stopped(lambda turn: upload(acme, f"other {turn}", name=f"doc {turn % 3}")),
        until_stopped(remove),
        until_stopped(lambda turn: ingest_next()),
        until_stopped(lambda turn: ingest_next()),
    ]
    time.sleep(3)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    work()
    with client_scope(acme.pk):
        Remains.objects.update(due=timezone.now())
        assert set(DocumentVersion.objects.values_list("status", flat=True)) <= {"completed", "failed"}
        assert not DocumentVersion.objects.filter(error_message__in=(ingest.OUR_FAULT, ingest.TOO_DEMANDING)).exists()
    while remains.sweep():
        pass
    assert_consistent(acme)


@pytest.mark.django_db(transaction=True)
def test_a_run_shows_signs_of_life_and_progress_while_it_embeds(
    acme: Client, provider: Provider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("PASSAGES_SECONDS", "REQUEST_SECONDS"):
        monkeypatch.setattr(f"knowledge.embeddings.openai.{patience}", 60.0)
    settings.INGEST_LEASE_SECONDS = 1
    provider.delay = 2.2
    uploaded = upload(acme, LONG)
    beats = set()

    def watch() -> None:
        while version(acme, uploaded.pk).status != "completed":
            beats.add(version(acme, uploaded.pk).heartbeat)
            assert claim_next() is None  # its lease never runs out
            time.sleep(0.05)
        connection.close()

    run = threading.Thread(target=lambda: (ingest_next(), connection.close()))
    run.start()
    while version(acme, uploaded.pk).lease is None:
        time.sleep(0.02)
    watch()
    run.join()
    assert len(beats) > 5


def test_a_run_that_lost_its_lease_can_write_nothing(acme: Client) -> None:
    uploaded = upload(acme)
    first = claim_next()
    die(acme, uploaded.pk)
    second = claim_next()
    with pytest.raises(Overtaken):
        first.write(status="failed", error_message="from the grave")
    Run(second).attempt()
    assert version(acme, uploaded.pk).error_message == ""


# --- the provider of embeddings through the whole job -------------------------------------------------------


GOOD_AFTER = {
    "429": [Bad(429)],
    "429 with Retry-After": [Bad(429, headers={"Retry-After": "0.3"})],
    "500 twice": [Bad(500), Bad(500)],
    "reset": [Bad(reset=True)],
    "one hang": [Bad(hang=1.5)],
}


@pytest.mark.parametrize("script", GOOD_AFTER.values(), ids=GOOD_AFTER)
def test_a_providers_bad_moments_delay_a_document(acme: Client, provider: Provider, script: list[Bad]) -> None:
    provider.script = list(script)
    uploaded = upload(acme, f"{script!r} and boots")
    assert work() == 1
    assert version(acme, uploaded.pk).status == "completed"
    assert_consistent(acme)


def test_an_outage_fails_the_document_after_three_attempts(acme: Client, provider: Provider) -> None:
    upload(acme, "The old text.")
    work()
    provider.script = [Bad(500)] * 1000
    uploaded = upload(acme, "The new text, never embedded before.")
    assert work() == 3
    failed = version(acme, uploaded.pk)
    assert (failed.status, failed.error_message) == ("failed", ingest.SERVICE_AWAY)
    assert texts(acme) == {"doc": ["The old text."]}


def test_a_refusal_is_not_repeated(acme: Client, provider: Provider) -> None:
    provider.script = [Bad(401, {"error": {"message": "secret detail"}})]
    uploaded = upload(acme, "A text that is refused.")
    assert work() == 1
    failed = version(acme, uploaded.pk)
    assert (failed.status, failed.error_message) == ("failed", ingest.REFUSED)


@pytest.mark.parametrize("vector", [[math.nan] * DIMENSIONS, [1.0] * (DIMENSIONS - 1), [0.0] * DIMENSIONS])
def test_wrong_vectors_are_never_stored(acme: Client, provider: Provider, vector: list[float]) -> None:
    row = {"object": "embedding", "index": 0, "embedding": vector}
    provider.script = [Bad(body={"object": "list", "data": [row], "usage": {"total_tokens": 1}})] * 100
    uploaded = upload(acme, f"A text with the vector {vector}.")
    assert 1 <= work() <= 3
    assert version(acme, uploaded.pk).status == "failed"
    assert points(acme) == set() and texts(acme) == {}


def test_what_is_too_long_is_refused_before_anything_is_billed(
    acme: Client, provider: Provider, settings: Settings
) -> None:
    settings.MAX_DOCUMENT_CHUNKS = 2
    passages = upload(acme, LONG, name="passages")
    work()
    settings.MAX_DOCUMENT_CHUNKS, settings.MAX_EMBEDDED_CHARACTERS = 100, 1000
    characters = upload(acme, LONG, name="characters")
    work()
    assert (
        "too long" in version(acme, passages.pk).error_message
        and "passages" in version(acme, passages.pk).error_message
    )
    assert "1000 are allowed" in version(acme, characters.pk).error_message
    assert provider.requests == []
    with client_scope(acme.pk):
        assert not UsageRecord.objects.exists()


def test_embedded_tokens_are_in_the_books_once(acme: Client, stranger: Client, provider: Provider) -> None:
    uploaded = upload(acme, f"{time.time()} one two three")
    work()
    with client_scope(acme.pk):
        (record,) = UsageRecord.objects.all()
    assert (record.kind, record.model, record.prompt_tokens) == ("embedding", "test-embedding", 4)
    assert version(acme, uploaded.pk).status == "completed"
    with client_scope(stranger.pk):
        assert not UsageRecord.objects.exists()


# --- what is left outside the database ------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_remains_are_erased_again_when_no_run_can_write_any_more(
    acme: Client, own_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the switch and the erasure."""
    upload(acme, "The old text.")
    work()
    monkeypatch.setattr(remains, "_try_to_erase", lambda left: False)
    upload(acme, "The new text.")
    work()
    assert len(points(acme)) == 2
    assert texts(acme) == {"doc": ["The new text."]}
    monkeypatch.undo()
    assert remains.sweep() == 0 and len(points(acme)) == 2  # not due yet
    with client_scope(acme.pk):
        Remains.objects.update(due=timezone.now())
    assert remains.sweep() == 1
    assert_consistent(acme)
    assert len([f for f in (own_data / "files").rglob("*") if f.is_file()]) == 1
    with client_scope(acme.pk):
        assert not Remains.objects.exists()
