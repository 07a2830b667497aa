"""`manage.py check_invariants`: silent on a product in order, and each thing that can be broken has its line."""

import io
import json
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import redis
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, models
from django.utils import timezone

from billing import invoices, usage
from billing.models import HourCount, Invoice, InvoiceNumber, MonthSpend, Reservation, UsageRecord
from chat.models import Message, Session
from config.management.commands import check_invariants
from knowledge.models import Callback, Chunk, Document, DocumentVersion, Remains
from knowledge.vectors import Point, VectorStore
from tenants import erasure, keys
from tenants.models import ApiKey, Client, Erasure
from tenants.scoping import client_scope
from tests.chat import conftest as chat_fixtures
from tests.chat.conversation import chat
from tests.flows.installation import named
from tests.knowledge.ingestion import upload, work

pytestmark = pytest.mark.django_db(transaction=True)
MONTH = (timezone.now().replace(day=1) - timedelta(days=10)).replace(hour=9, minute=30, second=0, microsecond=0)
ask = async_to_sync(chat)
fresh_limits = chat_fixtures.fresh_limits
Broken = set[tuple[str, str]]  # (code, object)


@pytest.fixture
def product(
    own_data: Path, fresh_limits: None, acme: Client, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> Client:
    """Two clients: a document each that answers, a question asked, a closed month, a key."""
    monkeypatch.setattr(check_invariants, "SECOND_LOOK", 0.0)
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    for client in (acme, stranger):
        upload(client)
        work()
        key = keys.mint(client.pk, "publishable")[1]
        assert ask(key, {"message": "Can boots be returned?"}).status == 200
        with client_scope(client.pk):
            UsageRecord.objects.create(request_id="e", kind="embedding", at=MONTH)
            past = Session.objects.create(), uuid.uuid4()
            for role, outcome in (("visitor", ""), ("assistant", "answered")):
                Message.objects.create(session=past[0], trace_id=past[1], role=role, outcome=outcome, created=MONTH)
            UsageRecord.objects.create(request_id=str(past[1]), at=MONTH, overage=True, overage_cents=10)
            HourCount.objects.create(hour=MONTH.replace(minute=0), places=1, delivered=1)
            usage.roll_up()
        assert invoices.close(client, MONTH.date())
    return acme


def lines(*arguments: str) -> set[str]:
    """What the command prints; its exit code says whether it is anything."""
    out = io.StringIO()
    try:
        call_command("check_invariants", *arguments, stdout=out)
    except SystemExit as end:
        assert end.code == 1 and out.getvalue()
    else:
        assert not out.getvalue()
    return set(out.getvalue().splitlines())


def sql(statement: str, *arguments: object) -> None:
    """As the database's superuser, with neither policies, triggers nor foreign keys in force."""
    owner = named(os.environ["DATABASE_OWNER_URL"], connection.settings_dict["NAME"])
    with psycopg.connect(owner) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(statement, arguments)


def row(model: type[models.Model], client: Client, **known: object) -> models.Model:
    with client_scope(client.pk):
        return model._default_manager.filter(**known).order_by("pk")[0]


def change(model: type[models.Model], client: Client, values: str, *arguments: object, **known: object) -> models.Model:
    found = row(model, client, **known)
    sql(f"UPDATE {model._meta.db_table} SET {values} WHERE id = %s", *arguments, found.pk)
    return found


def test_nothing_is_said_of_a_product_in_order(product: Client) -> None:
    assert lines() == set()


# --- each breaks something of Acme, and names what the command should then say -----------------------------------


def live_version_unfinished(acme: Client) -> Broken:
    change(DocumentVersion, acme, "status = 'failed'")
    return {("live-version-not-completed", "doc")}


def completed_but_silent(acme: Client) -> Broken:
    document = change(Document, acme, "live_id = NULL")
    return {("completed-document-not-live", "doc"), ("chunks-of-no-live-version", str(document.latest_id))}


def chunk_missing(acme: Client) -> Broken:
    chunk = row(Chunk, acme)
    sql("DELETE FROM knowledge_chunk WHERE id = %s", chunk.pk)
    version = str(chunk.version_id)
    return {
        ("chunks-not-contiguous", version),
        ("text-left-out-of-chunks", version),
        ("point-of-no-passage", str(chunk.pk)),
    }


def chunk_changed(acme: Client) -> Broken:
    chunk = change(Chunk, acme, "text = 'something else'")
    return {("chunk-differs-from-text", str(chunk.version_id))}


def chunk_of_another_id(acme: Client) -> Broken:
    chunk = row(Chunk, acme)
    fresh = uuid.uuid4()
    sql("UPDATE knowledge_chunk SET id = %s WHERE id = %s", fresh, chunk.pk)
    return {
        ("chunk-id-differs", str(chunk.version_id)),
        ("point-missing", str(fresh)),
        ("point-of-no-passage", str(chunk.pk)),
    }


def point_lost(acme: Client) -> Broken:
    chunk = row(Chunk, acme)
    VectorStore.for_client(acme.pk).delete_version(chunk.version_id)
    return {("point-missing", str(chunk.pk))}


def point_of_nothing(acme: Client) -> Broken:
    import numpy as np

    point = Point(uuid.uuid4(), 10**6, "words", np.eye(1, 384, dtype=np.float32))
    VectorStore.for_client(acme.pk).upsert([point])
    return {("point-of-no-passage", str(point.id))}


def file_lost(acme: Client) -> Broken:
    version = row(DocumentVersion, acme)
    default_storage.delete(version.file.name)
    return {("file-missing", str(version.pk))}


def file_changed(acme: Client) -> Broken:
    version = row(DocumentVersion, acme)
    Path(version.file.path).write_bytes(b"other bytes")
    return {("file-differs", str(version.pk))}


def file_of_nothing(acme: Client) -> Broken:
    stray = Path(settings.MEDIA_ROOT) / str(acme.pk) / uuid.uuid4().hex
    stray.write_bytes(b"stray")
    os.utime(stray, (0, 0))
    return {("file-of-no-document", stray.name)}


def lease_expired(acme: Client) -> Broken:
    held = "status = 'embedding', lease = gen_random_uuid(), heartbeat = now() - interval '1 hour'"
    with client_scope(acme.pk):
        document = Document.objects.get()
        version = DocumentVersion.objects.create(document=document, number=2, file_type="txt", size=1)
    sql(f"UPDATE knowledge_documentversion SET {held} WHERE id = %s", version.pk)
    return {("lease-expired", str(version.pk))}


def lease_on_finished(acme: Client) -> Broken:
    version = change(DocumentVersion, acme, "lease = gen_random_uuid()")
    return {("lease-on-finished-version", str(version.pk))}


def callbacks_disordered(acme: Client) -> Broken:
    with client_scope(acme.pk):
        document, soon = Document.objects.get(), timezone.now() + timedelta(minutes=1)
        Callback.objects.create(document=document, status="pending", body="{}", next_attempt=soon)
        later = Callback.objects.create(document=document, status="completed", body="{}", next_attempt=soon, attempts=1)
    return {("callback-out-of-order", str(later.pk))}


def callback_stuck(acme: Client) -> Broken:
    with client_scope(acme.pk):
        long_ago = timezone.now() - timedelta(hours=1)
        callback = Callback.objects.create(
            document=Document.objects.get(), status="pending", body="{}", next_attempt=long_ago
        )
    return {("callback-overdue", str(callback.pk))}


def remains_left(acme: Client) -> Broken:
    with client_scope(acme.pk):
        remains = Remains.objects.create(version_pk=1, due=timezone.now() - timedelta(hours=1))
    return {("remains-overdue", str(remains.pk))}


def answer_unbilled(acme: Client) -> Broken:
    answer = row(Message, acme, role="assistant", sources__0__isnull=False)
    sql("DELETE FROM billing_usagerecord WHERE request_id = %s", str(answer.trace_id))
    hour = f"{answer.created:%Y-%m-%dT%H}"
    return {
        ("answer-not-in-ledger", str(answer.trace_id)),
        ("hour-delivered-differs", hour),
        ("hour-places-differ", hour),
        ("usage-hour-differs", hour),
    }


def ledger_row_too_many(acme: Client) -> Broken:
    hour = timezone.now()
    with client_scope(acme.pk):
        UsageRecord.objects.create(request_id=str(uuid.uuid4()), at=hour)
        HourCount.objects.update(places=models.F("places") + 1, delivered=models.F("delivered") + 1)
        HourCount.objects.filter(hour__lt=hour - timedelta(days=2)).update(places=1, delivered=1)
        usage.roll_up()
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    return {("ledger-row-without-answer", "1-too-many")}


def answer_left_open(acme: Client) -> Broken:
    answer = change(Message, acme, "outcome = 'running', created = '2026-01-01'", role="assistant", outcome="answered")
    return {("answer-left-open", str(answer.trace_id))}


def answer_alone(acme: Client) -> Broken:
    question = row(Message, acme, role="visitor")
    sql("DELETE FROM chat_message WHERE id = %s", question.pk)
    return {("answer-without-question", str(question.trace_id))}


def reservation_of_nothing(acme: Client) -> Broken:
    at = timezone.now() - timedelta(hours=5)
    with client_scope(acme.pk):
        reservation = Reservation.objects.create(request_id="r", at=at)
        HourCount.objects.create(hour=at.replace(minute=0, second=0, microsecond=0), places=1)
    return {("reservation-left-open", str(reservation.pk)), ("reservation-of-ended-answer", str(reservation.pk))}


def places_miscounted(acme: Client) -> Broken:
    hour = change(HourCount, acme, "places = places + 1", hour__lt=MONTH)  # no request has it
    return {("hour-places-differ", f"{hour.hour:%Y-%m-%dT%H}")}


def delivered_miscounted(acme: Client) -> Broken:
    hour = change(HourCount, acme, "delivered = 7")
    return {("hour-delivered-differs", f"{hour.hour:%Y-%m-%dT%H}")}


def usage_hour_changed(acme: Client) -> Broken:
    sql("UPDATE billing_usagehour SET requests = 9 WHERE client_id = %s AND date = %s", acme.pk, MONTH.date())
    return {("usage-hour-differs", f"{MONTH:%Y-%m-%dT%H}")}


def budget_held_for_nothing(acme: Client) -> Broken:
    with client_scope(acme.pk):
        MonthSpend.objects.create(month=MONTH.date().replace(day=1), held=Decimal("0.05"))
    return {("budget-held-differs", f"{MONTH:%Y-%m}")}


def invoice_changed(acme: Client) -> Broken:
    invoice = change(Invoice, acme, "total_cents = total_cents + 1")
    return {("invoice-total-differs", invoice.number)}


def ledger_of_a_closed_month_changed(acme: Client) -> Broken:
    sql(
        "UPDATE billing_usagerecord SET overage_cents = 11 WHERE client_id = %s AND overage AND at = %s",
        acme.pk,
        MONTH,
    )
    invoice = row(Invoice, acme)
    return {("invoice-differs-from-ledger", invoice.number), ("usage-hour-differs", f"{MONTH:%Y-%m-%dT%H}")}


def counter_behind(acme: Client) -> Broken:
    hour = timezone.now()
    server = redis.Redis.from_url(settings.REDIS_URL)
    server.set(f"limits:{{{acme.pk}}}:{hour:%Y%m%d%H}", 0)
    return {("limit-counter-below-ledger", f"{hour:%Y-%m-%dT%H}")}


def reference_to_the_stranger(acme: Client) -> Broken:
    theirs = row(Session, Client.objects.exclude(pk=acme.pk).get())
    sql("ALTER TABLE chat_message DISABLE TRIGGER ALL")
    with client_scope(acme.pk):
        messages = Message.objects.filter(session=Message.objects.order_by("pk")[0].session_id).order_by("pk")
        pks = list(messages.values_list("pk", flat=True))
    sql("UPDATE chat_message SET session_id = %s WHERE id = ANY(%s)", theirs.pk, pks)
    sql("ALTER TABLE chat_message ENABLE TRIGGER ALL")
    return {("reference-to-another-client", f"chat.Message.session:{pk}") for pk in pks}


# Together where they don't touch one another: every product in order takes a second to make.
BREAKAGES = [
    (live_version_unfinished, callback_stuck, answer_unbilled),
    (completed_but_silent, remains_left, ledger_row_too_many),
    (chunk_missing, file_lost, answer_left_open, places_miscounted),
    (chunk_changed, file_changed, answer_alone, delivered_miscounted),
    (chunk_of_another_id, file_of_nothing, reservation_of_nothing, usage_hour_changed),
    (point_lost, lease_expired, budget_held_for_nothing, invoice_changed),
    (point_of_nothing, lease_on_finished, callbacks_disordered, ledger_of_a_closed_month_changed),
    (counter_behind, reference_to_the_stranger),
]


@pytest.mark.parametrize("breakages", BREAKAGES, ids=lambda group: "+".join(breakage.__name__ for breakage in group))
def test_what_is_broken_has_its_line(product: Client, breakages: tuple[Callable[[Client], Broken], ...]) -> None:
    broken = set().union(*(breakage(product) for breakage in breakages))
    assert lines() == {f"{code} client={product.pk} object={object}" for code, object in broken}


# --- what no client's rows can show --------------------------------------------------------------------------------


@pytest.fixture
def without_unique_digests() -> Iterator[None]:
    name = "tenants_apikey_digest_key"
    sql(f"ALTER TABLE tenants_apikey DROP CONSTRAINT {name}")
    yield
    sql("UPDATE tenants_apikey SET digest = id::text")
    sql(f"ALTER TABLE tenants_apikey ADD CONSTRAINT {name} UNIQUE (digest)")


def test_two_keys_of_one_digest(product: Client, stranger: Client, without_unique_digests: None) -> None:
    mine, theirs = row(ApiKey, product), row(ApiKey, stranger)
    sql("UPDATE tenants_apikey SET digest = %s WHERE id = %s", mine.digest, theirs.pk)
    assert lines() == {
        f"key-digest-not-unique client={owner.pk} object=tenants.ApiKey:{key.pk}"
        for owner, key in ((product, mine), (stranger, theirs))
    }


def test_rows_and_files_of_nobody(product: Client) -> None:
    nobody = uuid.uuid4()
    key = row(ApiKey, product)
    sql("UPDATE tenants_apikey SET client_id = %s WHERE id = %s", nobody, key.pk)
    directory = Path(settings.MEDIA_ROOT) / str(nobody)
    directory.mkdir()
    (directory / "file").write_bytes(b"left")
    os.utime(directory, (0, 0))
    assert lines() == {
        f"row-of-no-client client={nobody} object=tenants.ApiKey:{key.pk}",
        f"file-of-no-client client=- object={nobody}",
    }


def test_an_erasure_that_stuck_and_one_that_leaked(product: Client, stranger: Client) -> None:
    erasure.request_erasure(product.pk)
    sql("UPDATE tenants_erasure SET requested = '2026-01-01'")
    assert lines() == {f"erasure-not-finished client={product.pk} object=-"}
    erasure.erase(product.pk)
    assert lines() == set()
    directory = Path(settings.MEDIA_ROOT) / str(product.pk)
    directory.mkdir()
    (directory / "file").write_bytes(b"back again")
    assert lines() == {f"erased-data-is-back client={product.pk} object=stored-files"}
    assert Erasure.objects.get().finished


def test_a_gap_in_the_invoice_numbers(product: Client) -> None:
    year = InvoiceNumber.objects.get()
    InvoiceNumber.objects.update(last=year.last + 1)
    assert lines() == {f"invoice-number-missing client=- object={year.year}-{year.last + 1:05}"}


def test_a_line_as_json_and_no_such_client(product: Client) -> None:
    version = row(DocumentVersion, product)
    default_storage.delete(version.file.name)
    (line,) = lines("--json", "--client", str(product.pk))
    assert json.loads(line) == {"code": "file-missing", "clientId": str(product.pk), "object": str(version.pk)}
    assert lines("--client", str(Client.objects.exclude(pk=product.pk).get().pk)) == set()
    with pytest.raises(CommandError, match="no such client"):
        lines("--client", str(uuid.uuid4()))


def test_a_moment_is_not_a_violation(product: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and files can't be read at once: what is right at the second look was never wrong."""
    version = row(DocumentVersion, product)
    path = Path(version.file.path)
    away = path.rename(path.with_suffix(".away"))
    monkeypatch.setattr(check_invariants.time, "sleep", lambda seconds: away.rename(path))
    assert lines() == set()
