"""Callbacks to Express: signed, in order for each document, repeated until taken, never in ingestion's way."""

import hashlib
import hmac
import itertools
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client as Browser
from django.utils import timezone
from pytest_django import Settings

from knowledge import callbacks, documents
from knowledge.models import Callback
from knowledge.pipeline import ingest
from knowledge.pipeline.lease import claim_next
from tenants.models import Client
from tenants.scoping import client_scope, unscoped
from tests.contracts.receiver import Receiver, receiver
from tests.knowledge.ingestion import upload, work

ALL = ["pending", "parsing", "chunking", "embedding", "storing", "completed"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def express(settings: Settings, own_data: Path) -> Iterator[Receiver]:
    with receiver() as express:
        settings.EXPRESS_CALLBACK_URL = express.url
        settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.1/32"]
        yield express


def deliver() -> int:
    """Deliver what is due now; how many calls that took."""
    calls = 0
    while callbacks.deliver_next():
        calls += 1
    return calls


def make_due() -> None:
    with unscoped("no test waits for a back-off"):
        Callback.objects.filter(next_attempt__isnull=False).update(next_attempt=timezone.now())


def waiting() -> int:
    with unscoped("what is still to be delivered"):
        return Callback.objects.count()


def test_each_status_is_told_once_in_order_with_the_status_body(acme: Client, express: Receiver) -> None:
    uploaded = upload(acme)
    work()
    assert deliver() == 6 and waiting() == 0
    assert [status for status, _ in express.of("doc")] == ALL
    assert express.received[-1].body == documents.state(documents.find(acme.pk, "doc"))
    assert express.received[0].body == {
        "documentId": "doc",
        "status": "pending",
        "progress": 0,
        "currentStep": "Waiting",
        "chunksTotal": 0,
        "chunksProcessed": 0,
        "qdrantPointIds": [],
        "errorMessage": None,
    }
    assert uploaded.number == 1


def test_calls_are_signed_and_go_to_the_contracts_path(acme: Client, express: Receiver, settings: Settings) -> None:
    upload(acme)
    deliver()
    (call,) = express.received
    at, _, digest = call.headers["x-signature"].removeprefix("t=").partition(",v1=")
    signed = at.encode() + b"." + call.raw
    expected = hmac.new(settings.INTERNAL_API_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert digest == expected and abs(int(at) - time.time()) < 5
    assert call.headers["x-internal-secret"] == settings.INTERNAL_API_SECRET
    assert call.headers["content-type"] == "application/json"
    assert call.path == "/api/internal/document-progress"
    settings.EXPRESS_CALLBACK_URL = express.url + "/my/own?path=1"
    upload(acme, name="other")
    deliver()
    assert express.received[-1].path == "/my/own?path=1"


def test_a_failure_is_told_with_its_reason(acme: Client, express: Receiver) -> None:
    upload(acme, " \n")
    work()
    deliver()
    assert (express.received[-1].body["status"], express.received[-1].body["errorMessage"]) == (
        "failed",
        "The file holds no text.",
    )


@pytest.mark.parametrize("status", [500, 404, 302])
def test_anything_but_a_2xx_is_repeated_and_holds_its_document_back_only(
    acme: Client, stranger: Client, express: Receiver, status: int
) -> None:
    express.script = [status]
    upload(acme, name="first")
    upload(stranger, name="second")
    work()
    deliver()
    assert express.of("first") == [] and [s for s, _ in express.of("second")] == ALL
    assert deliver() == 0  # not before its time
    make_due()
    deliver()
    assert [s for s, _ in express.of("first")] == ALL and waiting() == 0


def test_pauses_double_up_to_ten_minutes_and_end_after_three_days(acme: Client, express: Receiver) -> None:
    express.script = [503] * 100
    upload(acme)
    pauses = []
    for _ in range(12):
        before = timezone.now()
        assert deliver() == 1
        with client_scope(acme.pk):
            row = Callback.objects.get()
        pauses.append(round((row.next_attempt - before).total_seconds()))
        make_due()
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    with client_scope(acme.pk):
        Callback.objects.update(created=timezone.now() - timedelta(days=3))
    deliver()
    with client_scope(acme.pk):
        row = Callback.objects.get()
    assert (row.next_attempt, row.attempts, row.last_error) == (None, 13, "answered 503")
    make_due()
    assert deliver() == 0
    express.script = []
    work()  # what comes after an undeliverable one is delivered
    deliver()
    assert [s for s, _ in express.of("doc")] == ALL[1:] and waiting() == 1
    with client_scope(acme.pk):  # support staff have it sent after all
        assert callbacks.deliver_again(Callback.objects.all()) == 1
    deliver()
    assert express.of("doc")[-1] == ("pending", 0) and waiting() == 0


def test_an_express_that_is_away_delays_nothing(acme: Client, express: Receiver, settings: Settings) -> None:
    settings.EXPRESS_CALLBACK_URL = "http://127.0.0.1:9"
    upload(acme)
    deliver()
    assert work() == 1
    assert documents.find(acme.pk, "doc").status == "completed"
    with client_scope(acme.pk):
        assert Callback.objects.earliest("pk").last_error.startswith("no answer from 127.0.0.1")


def test_an_address_on_a_private_network_is_refused(acme: Client, express: Receiver, settings: Settings) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = []
    upload(acme)
    deliver()
    assert express.received == express.refused == []
    with client_scope(acme.pk):
        assert "private network" in Callback.objects.get().last_error


def test_without_an_address_nothing_is_written(acme: Client, own_data: Path) -> None:
    upload(acme)
    work()
    assert waiting() == 0


def test_progress_that_was_not_sent_yet_is_replaced_by_newer(acme: Client, express: Receiver) -> None:
    upload(acme)
    lease = claim_next()
    lease.write(status="embedding", chunks_total=100)
    for done in range(10, 60, 10):
        lease.done = done
        lease.write()
    lease.write()  # no news
    deliver()
    assert express.of("doc") == [("pending", 0), ("embedding", 50)]
    for done in (60, 70):
        lease.done = done
        lease.write()
    assert deliver() == 0  # a second after the one before at the earliest
    make_due()
    deliver()
    assert express.of("doc")[2:] == [("embedding", 70)]


def test_a_change_of_status_does_not_wait_behind_progress(acme: Client, express: Receiver) -> None:
    upload(acme)
    lease = claim_next()
    lease.write(status="embedding", chunks_total=100)
    deliver()
    lease.done = 100
    lease.write()
    lease.write(status="storing")
    deliver()
    assert express.of("doc")[1:] == [("embedding", 0), ("storing", 100)] and waiting() == 0


def test_progress_keeps_its_distance_from_what_had_to_be_sent_again(acme: Client, express: Receiver) -> None:
    upload(acme)
    lease = claim_next()
    lease.write(status="embedding", chunks_total=100)
    deliver()
    express.script = [500]
    for done in (1, 2):
        lease.done = done
        lease.write()
        make_due()
        assert deliver() == 1
    assert express.of("doc")[2:] == [("embedding", 1)] and waiting() == 1
    make_due()
    deliver()
    assert express.of("doc")[3:] == [("embedding", 2)]


@pytest.mark.django_db(transaction=True)
def test_progress_is_told_once_a_second_as_it_arrives(acme: Client, express: Receiver) -> None:
    upload(acme)
    lease = claim_next()
    lease.write(status="embedding", chunks_total=100)
    stop = threading.Event()

    def send() -> None:
        callbacks.deliver_forever(stop)
        connection.close()

    sender = threading.Thread(target=send)
    sender.start()
    for done in range(1, 36):
        time.sleep(0.1)
        lease.done = done
        lease.write()
    lease.write(status="storing")
    deadline = time.monotonic() + 10
    while waiting() and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    sender.join()
    at = [call.at for call in express.received if call.body["status"] == "embedding"]
    assert len(at) >= 2 and min(later - earlier for earlier, later in itertools.pairwise(at)) >= 1
    assert [status for status, _ in express.of("doc")] == ["pending", *["embedding"] * len(at), "storing"]


def test_a_retry_is_told_as_pending_again(acme: Client, express: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "BATCH", 0)  # range() refuses: a fault between two statuses
    upload(acme)
    ingest.ingest_next()
    deliver()
    assert [s for s, _ in express.of("doc")] == ["pending", "parsing", "chunking", "embedding", "pending"]


def test_a_deleted_document_is_told_of_no_more(acme: Client, express: Receiver) -> None:
    upload(acme)
    documents.remove(acme.pk, "doc")
    assert deliver() == 0 and waiting() == 0


@pytest.mark.django_db(transaction=True)
def test_several_senders_at_once_keep_the_order_and_send_nothing_twice(acme: Client, express: Receiver) -> None:
    express.delay = 0.01
    stop = threading.Event()

    def send() -> None:
        callbacks.deliver_forever(stop)
        connection.close()

    senders = [threading.Thread(target=send) for _ in range(3)]
    for sender in senders:
        sender.start()
    for number in range(4):
        upload(acme, f"text {number}", name=f"doc {number}")
    work()
    deadline = time.monotonic() + 20
    while waiting() and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    for sender in senders:
        sender.join()
    for number in range(4):
        assert [s for s, _ in express.of(f"doc {number}")] == ALL


def test_support_staff_see_what_was_not_delivered(acme: Client, express: Receiver, admin_client: Browser) -> None:
    express.script = [503]
    upload(acme)
    deliver()
    page = admin_client.get("/admin/knowledge/callback/")
    assert page.status_code == 200 and b"answered 503" in page.content and b"Acme Outdoor" in page.content
    with client_scope(acme.pk):
        row = Callback.objects.get()
    chosen = {"action": "deliver_again", "_selected_action": [row.pk]}
    assert admin_client.post("/admin/knowledge/callback/", chosen, follow=True).status_code == 200
    deliver()
    assert [s for s, _ in express.of("doc")] == ["pending"]
