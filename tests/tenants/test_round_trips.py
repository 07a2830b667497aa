"""A scope in haste does what any scope does: all of it or nothing, and errors are errors."""

import uuid
from typing import Any

import pytest
from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction

from chat.models import Message, Session
from tenants import statements
from tenants.models import Client
from tenants.scoping import WrongClient, client_scope

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("postgres" not in settings.DATABASE_URL, reason="SQLite is in this process"),
]


def sessions(client: Client) -> list[str]:
    with client_scope(client.pk):
        return list(Session.objects.order_by("staff_name").values_list("staff_name", flat=True))


def write(name: str, **more: Any) -> None:
    statements.write(Session, {"session_id": uuid.uuid4(), "staff_name": name, **more})


def is_waiting() -> bool:
    """Is something under way that nobody has waited for?"""
    raw: Any = connection.connection
    return bool(raw.pgconn.pipeline_status)


def test_all_of_it_is_committed_before_the_hooks_run(acme: Client) -> None:
    seen: list[list[str]] = []
    with client_scope(acme.pk, in_haste=True):
        transaction.on_commit(lambda: seen.append(sessions(acme)))
        write("a")
        (key,) = statements.insert(Session, {"session_id": uuid.uuid4(), "staff_name": "b"})
        assert statements.look_up(Session, "staff_name", id=key) == "b"
        renamed = statements.update_unseen(Session, {"staff_name": "c"}, id=key)
        assert statements.update(Session, {"staff_name": "d"}, staff_name="nobody's") == 0
        assert is_waiting()
    assert not is_waiting() and (renamed(), seen) == (1, [["a", "c"]])


def test_nothing_is_left_of_a_block_that_raises(acme: Client) -> None:
    with pytest.raises(KeyError), client_scope(acme.pk, in_haste=True):
        write("a")
        raise KeyError
    with client_scope(acme.pk, in_haste=True):
        write("b")
        transaction.set_rollback(True)
    assert sessions(acme) == [] and not is_waiting()


def test_a_mistake_shows_at_the_next_read_or_at_the_end(acme: Client) -> None:
    same = uuid.uuid4()
    for read in (True, False):
        with pytest.raises(IntegrityError), client_scope(acme.pk, in_haste=True):
            write("a", session_id=same)
            write("b", session_id=same)
            if read:
                statements.look_up(Client, "name")
                pytest.fail("the mistake was not seen")
        assert sessions(acme) == []
    with pytest.raises(DataError), client_scope(acme.pk, in_haste=True):
        write("x" * 1000)
    write_once_more(acme)
    assert sessions(acme) == ["fine"]


def write_once_more(client: Client) -> None:
    with client_scope(client.pk, in_haste=True):
        write("fine")


def test_what_the_commit_refuses_is_an_error(acme: Client) -> None:
    """Foreign keys are looked at when the transaction ends."""
    with pytest.raises(IntegrityError), client_scope(acme.pk, in_haste=True):
        statements.write(Session, {"session_id": uuid.uuid4(), "staff_name": "a"})
        (key,) = statements.insert(Session, {"session_id": uuid.uuid4()})
        statements.write(Message, {"session": key, "trace_id": uuid.uuid4(), "role": "visitor", "text": "x"})
        assert statements.take(Session, "id", id=key) == (key,)
    assert sessions(acme) == []


def test_the_orm_goes_on_as_ever(acme: Client) -> None:
    with client_scope(acme.pk, in_haste=True):
        write("a")
        assert Session.objects.filter(staff_name="a").update(staff_name="b") == 1
        assert not is_waiting()
        with pytest.raises(IntegrityError), transaction.atomic():
            Session.objects.create(staff_name="c", session_id=Session.objects.get().session_id)
        write("d")
        assert statements.update(Session, {"staff_name": "e"}, staff_name="d") == 1
    assert sessions(acme) == ["b", "e"]


def test_the_scope_holds(acme: Client, stranger: Client) -> None:
    with client_scope(stranger.pk):
        theirs = Session.objects.create(staff_name="theirs")
    with client_scope(acme.pk, in_haste=True):
        assert statements.look_up(Session, "staff_name", id=theirs.pk) is None
        assert statements.update(Session, {"staff_name": "mine"}, id=theirs.pk) == 0
        with pytest.raises(WrongClient):
            write("x", client=stranger.pk)
    with client_scope(acme.pk), client_scope(acme.pk, in_haste=True):  # inside another one it is any scope
        write("mine")
        assert not is_waiting()
    assert (sessions(acme), sessions(stranger)) == (["mine"], ["theirs"])
