"""Statements that are composed once: they write what the ORM writes, within one client."""

import uuid
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing.models import Reservation, UsageRecord
from chat.models import Message, Session
from knowledge.models import Chunk, Document, DocumentVersion
from tenants import statements
from tenants.models import Client
from tenants.scoping import NoClientInScope, WrongClient, client_scope, unscoped

Row = dict[str, object]


def rows(model: type, *leave_out: str) -> list[Row]:
    found = [dict(row) for row in model.objects.order_by("pk").values()]
    return [{name: value for name, value in row.items() if name not in ("id", *leave_out)} for row in found]


def test_a_row_is_the_same_as_the_ones_that_the_orm_writes(acme: Client, stranger: Client) -> None:
    with client_scope(stranger.pk):
        Session.objects.create()
    with client_scope(acme.pk):
        session = Session.objects.create(metadata={"pageUrl": "https://example.com/ä"})
        message = {"trace_id": uuid.uuid4(), "role": "assistant", "sources": [{"title": "Ropes"}], "first_token_ms": 7}
        used = {"at": timezone.now(), "cost": Decimal("0.00000012"), "prices": {"input": "0.1"}, "request_id": "r"}
        Message.objects.create(session=session, **message)
        UsageRecord.objects.create(**used)
        by_orm = rows(Message, "created", "trace_id"), rows(UsageRecord, "request_id")
        statements.insert(Message, {**message, "session": session.pk, "trace_id": uuid.uuid4()})
        statements.insert(UsageRecord, {**used, "request_id": "s"})
        assert rows(Message, "created", "trace_id") == by_orm[0] * 2
        assert rows(UsageRecord, "request_id") == by_orm[1] * 2
        assert abs((Message.objects.latest("pk").created - timezone.now()).total_seconds()) < 60


def test_many_rows_are_the_same_as_the_ones_that_the_orm_writes(acme: Client, stranger: Client) -> None:
    text = 'A "quoted" \\ path,\n100 % of é, 靴 and 🥾'
    one = {"index": 0, "text": text, "start": 0, "end": 9, "tokens": 2**31 - 1, "page_from": None, "page_to": 7}
    given = [{**one, "heading_path": ["Boots", "Über 'alles'"]}, {**one, "index": 1, "heading_path": []}]
    with client_scope(acme.pk):
        document = Document.objects.create(external_id="d")
        by_orm, at_once = (DocumentVersion.objects.create(document=document, number=n, size=1) for n in (1, 2))
        for row in given:
            Chunk.objects.create(id=uuid.uuid4(), version=by_orm, **row)
        keyed = [{**row, "id": uuid.uuid4(), "version": at_once.pk} for row in given]
        statements.insert_many(Chunk, keyed)
        statements.insert_many(Chunk, [])
        written = Chunk.objects.order_by("version", "index").values(*given[0])
        assert list(written) == given * 2
        assert {row.pk for row in at_once.chunks.all()} == {row["id"] for row in keyed}
    other = {**keyed[0], "id": uuid.uuid4(), "index": 2}
    with client_scope(stranger.pk):
        with pytest.raises(IntegrityError), transaction.atomic():
            statements.insert_many(Chunk, [other])  # of acme's version
        with pytest.raises(WrongClient):
            statements.insert_many(Chunk, [{**other, "client": acme.pk}])
        with pytest.raises(TypeError):
            statements.insert_many(Chunk, [{**other, "text": b"bytes"}])
        assert not Chunk.objects.exists()


def test_keys_of_new_rows_come_back_and_a_conflict_can_be_passed_over(acme: Client) -> None:
    row = {"session_id": uuid.uuid4()}
    with client_scope(acme.pk):
        [key] = statements.insert(Session, row)
        assert statements.look_up(Session, "id", **row) == key == Session.objects.get().pk
        assert statements.insert(Session, row, ignore_conflicts=True) == []
        with pytest.raises(IntegrityError), transaction.atomic():
            statements.insert(Session, row)


def test_a_foreign_key_never_leads_to_another_client(acme: Client, stranger: Client) -> None:
    with client_scope(stranger.pk):
        theirs = Session.objects.create().pk
    with client_scope(acme.pk):
        mine = Session.objects.create().pk
        with pytest.raises(IntegrityError), transaction.atomic():
            statements.insert(Message, {"session": theirs, "trace_id": uuid.uuid4(), "role": "visitor"})
        statements.insert(Message, {"session": mine, "trace_id": uuid.uuid4(), "role": "visitor"})
        with pytest.raises(NotImplementedError):
            statements.update(Message, {"session": theirs})
        assert [row.session_id for row in Message.objects.all()] == [mine]


def test_changes_and_removals_are_of_this_client_alone(acme: Client, stranger: Client) -> None:
    now = timezone.now()
    for client in (acme, stranger):
        with client_scope(client.pk):
            statements.insert(Reservation, {"request_id": "same", "at": now, "included": 5, "hold": Decimal("0.05")})
    with client_scope(acme.pk):
        assert statements.update(Reservation, {"included": 6}, request_id="same") == 1
        assert statements.update(Reservation, {"included": 6}, request_id="nobody's") == 0
        for owner in ({"client": stranger.pk}, {"client_id": acme.pk}):
            with pytest.raises(WrongClient):
                statements.insert(Reservation, {"request_id": "other", "at": now, **owner})
        taken = statements.take(Reservation, "at", "included", "hold", request_id="same")
        assert taken == (now, 6, Decimal("0.05"))
        assert statements.take(Reservation, "at", request_id="same") is None
    with client_scope(stranger.pk):
        assert rows(Reservation) == [
            {"client_id": stranger.pk, "request_id": "same", "at": now, "included": 5, "hold": Decimal("0.05")}
        ]


def test_what_is_written_once_is_neither_changed_nor_taken(acme: Client) -> None:
    with client_scope(acme.pk):
        statements.insert(UsageRecord, {"request_id": "r", "at": timezone.now()})
        for change in (
            lambda: statements.update(UsageRecord, {"failed": True}, request_id="r"),
            lambda: statements.take(UsageRecord, "at", request_id="r"),
        ):
            with pytest.raises(NotImplementedError, match="never changed"):
                change()


def test_a_number_is_counted_up_and_a_loaded_row_referred_to(acme: Client, stranger: Client) -> None:
    with client_scope(stranger.pk):
        theirs = Document.objects.create(external_id="d")
        theirs_version = DocumentVersion.objects.create(document=theirs, number=1, size=1)
    with client_scope(acme.pk):
        ours = Document.objects.create(external_id="d")
        version = DocumentVersion.objects.create(document=ours, number=1, size=1)
        assert statements.update(Client, {"knowledge_version": statements.ONE_MORE}) == 1
        assert statements.update(Document, {"live": version, "title": "D"}, id=ours.pk) == 1
        with pytest.raises(WrongClient):
            statements.update(Document, {"live": theirs_version}, id=ours.pk)
        assert list(Document.objects.values_list("live", "title")) == [(version.pk, "D")]
    versions = [(c.name, Client.objects.get(pk=c.pk).knowledge_version - c.knowledge_version) for c in (acme, stranger)]
    assert versions == [(acme.name, 1), (stranger.name, 0)]


def test_rows_are_found_by_one_value_or_by_several(acme: Client, stranger: Client) -> None:
    wanted = [uuid.uuid4() for _ in range(3)]
    for client in (acme, stranger):
        with client_scope(client.pk):
            keys = statements.insert(Session, *({"session_id": id, "metadata": {"ä": [1]}} for id in wanted))
            found = statements.select(Session, ["id", "session_id", "metadata"], session_id=wanted[:2], id=keys)
            assert sorted(found) == [(key, id, {"ä": [1]}) for key, id in zip(keys, wanted[:2], strict=False)]


def test_a_part_of_a_text_is_counted_in_characters(acme: Client) -> None:
    with client_scope(acme.pk):
        session = Session.objects.create()
        trace = uuid.uuid4()
        Message.objects.create(session=session, trace_id=trace, text="Grüße 🥾 und Tschüß")
        assert statements.part(Message, "text", 3, 9, trace_id=trace) == "Grüße 🥾 und Tschüß"[3:9]
        assert statements.part(Message, "text", 0, 4, trace_id=uuid.uuid4()) == ""


def test_they_work_in_one_clients_scope_only(acme: Client) -> None:
    with pytest.raises(NoClientInScope):
        statements.look_up(Client, "name")
    with unscoped("a test across clients"), pytest.raises(NotImplementedError):
        statements.look_up(Client, "name")
    with client_scope(acme.pk):
        assert statements.look_up(Client, "name") == acme.name
        assert statements.look_up(Client, "name", id=uuid.uuid4()) is None
