"""Deleting a client leaves nothing but the books, and a receipt that says so."""

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.utils import timezone

from billing.models import UsageRecord
from chat.models import Message, Session
from tenants import erasure, keys
from tenants.models import ApiKey, AuditEvent, Client, Erasure, StaffMember
from tenants.policies import client_owned_models
from tenants.scoping import client_scope, unscoped

FILES: dict[uuid.UUID, int] = {}


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Something outside the database that belongs to clients."""
    monkeypatch.setattr(erasure, "_outside", {})
    erasure.register(
        "stored files", lambda client_id: FILES.get(client_id, 0), lambda client_id: FILES.pop(client_id, None)
    )
    yield
    FILES.clear()


def furnish(client: Client) -> None:
    with client_scope(client.pk):
        session = Session.objects.create()
        Message.objects.create(session=session, trace_id=uuid.uuid4(), role="visitor", text="secret words")
        UsageRecord.objects.create(request_id=str(uuid.uuid4()), at=timezone.now(), model="m")
    keys.mint(client.pk, "publishable")
    FILES[client.pk] = 3


def holdings(client: Client) -> dict[str, int]:
    with client_scope(client.pk):
        return {model.__name__: model._default_manager.count() for model in client_owned_models()}


def test_everything_goes_but_the_books_and_the_strangers(acme: Client, stranger: Client, capsys: Any) -> None:
    furnish(acme)
    furnish(stranger)
    strangers = holdings(stranger)

    call_command("delete_client", str(acme.pk), "--yes", "--now", "--json")
    receipt = json.loads(capsys.readouterr().out)

    before = {"tenants.ApiKey": 1, "chat.Session": 1, "chat.Message": 1, "stored files": 3}
    assert {name: receipt["before"][name] for name in before} == before
    assert receipt["after"] == dict.fromkeys(receipt["before"], 0)
    assert receipt["kept"]["billing.UsageRecord"] == 1 and receipt["finished"]
    assert not receipt["kept"].keys() & before.keys()
    assert {name: count for name, count in holdings(acme).items() if count} == {"UsageRecord": 1}
    assert list(Client.objects.all()) == [stranger]
    assert (holdings(stranger), FILES) == (strangers, {stranger.pk: 3})

    call_command("delete_client", str(acme.pk), "--json")  # the receipt can be had again
    assert json.loads(capsys.readouterr().out) == receipt


def test_the_client_alone_is_off_before_the_job_runs(acme: Client, stranger: Client, settings: Any) -> None:
    furnish(acme)
    erasure.request_erasure(acme.pk)
    for client in (acme, stranger):
        client.refresh_from_db()
    assert (acme.status, stranger.status, Erasure.objects.get().finished) == ("disabled", "active", None)


def test_a_job_that_died_half_way_is_finished_by_the_next(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(acme)
    erasure.request_erasure(acme.pk)

    def die(client_id: uuid.UUID) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setitem(erasure._outside, "stored files", erasure._Eraser(lambda client_id: 3, die))
        with pytest.raises(ConnectionError):
            erasure.erase(acme.pk)
    done = erasure.erase(acme.pk)
    assert done.before["chat.Message"] == 1 and done.before["stored files"] == 3  # as it was at first
    assert not any(done.after.values())
    assert erasure.erase(acme.pk).finished == done.finished


def test_what_a_job_erased_before_its_time_was_over_stays_erased(
    acme: Client, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may have more rows than one transaction can delete in a job's time."""
    for client in (acme, stranger):
        for _ in range(5):
            furnish(client)
    erasure.request_erasure(acme.pk)
    monkeypatch.setattr(erasure, "ROWS", 2)
    erase_rows, times = erasure._erase_rows, []

    def killed(model: Any, client_id: uuid.UUID) -> int:
        if model is Message:
            times.append(model)
            if len(times) == 3:
                raise SystemExit
        return erase_rows(model, client_id)

    with monkeypatch.context() as patched:
        patched.setattr(erasure, "_erase_rows", killed)
        with pytest.raises(SystemExit):
            erasure.erase(acme.pk)
    assert holdings(acme)["Message"] == 1
    done = erasure.erase(acme.pk)
    assert done.before["chat.Message"] == 5 and not any(done.after.values())
    assert holdings(stranger)["Message"] == 5


def test_an_erasure_that_fails_holds_up_no_other(
    acme: Client, stranger: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMBEDDED = True
    for client in (acme, stranger):
        erasure.request_erasure(client.pk)
    Erasure.objects.update(due=None)
    erasure.register("vectors", lambda client_id: int(client_id == acme.pk), lambda client_id: None)
    assert erasure.resume() == 2
    assert list(Client.objects.all()) == [acme]


def test_what_will_not_go_is_not_called_gone(acme: Client) -> None:
    erasure.register("vectors", lambda client_id: 1, lambda client_id: None)
    erasure.request_erasure(acme.pk)
    with pytest.raises(erasure.ErasureIncomplete, match="vectors"):
        erasure.erase(acme.pk)
    receipt = Erasure.objects.get()
    assert (receipt.finished, receipt.after["vectors"]) == (None, 1)
    assert Client.objects.filter(pk=acme.pk).exists()


def test_nobody_is_deleted_by_mistake(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "yes")
    for arguments in ([str(acme.pk)], ["No Such"], [str(uuid.uuid4())]):
        with pytest.raises(CommandError):
            call_command("delete_client", *arguments)
    assert Client.objects.get() == acme and acme.status == "active"


def test_every_client_owned_model_is_erased_or_a_book(acme: Client) -> None:
    kept = {model._meta.label for model in client_owned_models() if erasure.outlives(model)}
    assert kept <= {model._meta.label for model in client_owned_models() if model._meta.app_label == "billing"}
    assert ApiKey._meta.label not in kept


def test_the_audit_keeps_who_and_when_but_no_words(acme: Client, stranger: Client) -> None:
    event = {"actor": "ann", "action": "change", "name": "Acme", "before": {"instructions": "x"}, "after": {}}
    for client in (acme, stranger):
        with client_scope(client.pk):
            AuditEvent.objects.create(client_id=client.pk, **event)
            with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
                AuditEvent.objects.update(name="", before={}, after={})  # nobody is being erased
    erasure.request_erasure(acme.pk)
    with client_scope(acme.pk):
        for change in ({"actor": "bob"}, {"name": "Other", "before": {}}, {"name": "", "before": {}, "action": ""}):
            with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
                AuditEvent.objects.filter(client_id=acme.pk).update(**change)
    assert erasure.erase(acme.pk).before["words in the audit"] == 1
    told = {}
    for client in (acme, stranger):
        with client_scope(client.pk):
            told[client] = AuditEvent.objects.filter(client_id=client.pk).values_list("actor", "name", "before").get()
    assert told == {acme: ("ann", "", {}), stranger: ("ann", "Acme", {"instructions": "x"})}
    with client_scope(acme.pk), pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        AuditEvent.objects.filter(client_id=acme.pk).update(name="")


def test_accounts_of_the_clients_own_staff_go_with_it(acme: Client, stranger: Client, django_user_model: Any) -> None:
    for name, client in (("ann", acme), ("bob", stranger), ("root", acme)):
        user = django_user_model.objects.create_user(name, is_superuser=name == "root")
        with client_scope(client.pk):
            StaffMember.objects.create(user=user, role="client", client=client)
    erasure.request_erasure(acme.pk)
    assert erasure.erase(acme.pk).before["staff accounts"] == 1
    assert set(django_user_model.objects.values_list("username", flat=True)) == {"bob", "root"}
    with unscoped("the test looks at both"):
        assert [member.client_id for member in StaffMember.objects.all()] == [stranger.pk]


def test_nothing_is_erased_before_what_was_under_way_had_time_to_end(
    acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(erasure, "SETTLE", timedelta(seconds=6))
    monkeypatch.setattr(erasure.time, "sleep", waited.append)
    erasure.request_erasure(acme.pk)
    assert erasure.under_way() == [acme.pk]
    erasure.erase(acme.pk)
    assert 5 < waited[0] <= 6
    Erasure.objects.update(requested=timezone.now() - timedelta(minutes=1))
    assert erasure.under_way() == []


@pytest.mark.parametrize(("age", "wait"), [(1, 10), (10, 10), (25, 25), (300, 300), (900, 360)])  # minutes
def test_an_erasure_that_keeps_failing_is_tried_less_and_less_often(
    acme: Client, monkeypatch: pytest.MonkeyPatch, age: int, wait: int
) -> None:
    taken: list[Erasure] = []
    monkeypatch.setattr(erasure, "run", taken.append)
    erasure.request_erasure(acme.pk)
    assert erasure.resume() == 0
    now = timezone.now()
    Erasure.objects.update(requested=now - timedelta(minutes=age), due=now - timedelta(seconds=1))
    assert (erasure.resume(), erasure.resume(), len(taken)) == (1, 0, 1)
    assert Erasure.objects.get().due - now == pytest.approx(timedelta(minutes=wait), abs=timedelta(seconds=30))
