"""Who has a conversation: taken over, written to and handed back by a person. Each verb is one short transaction
that leaves its turn in the transcript; while a person has the conversation, the model is not asked."""

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from chat.models import Message, Session
from tenants.errors import ApiError, new_trace_id
from tenants.scoping import client_scope, unscoped

LONGEST = 4_000  # characters of one message
PATIENCE = timedelta(minutes=30)  # after which a visitor who asked for a person no longer waits
Event = Message.Event
Role = Message.Role


class Taken(Exception):
    """Somebody else has the conversation; `name` says who."""

    def __init__(self, name: str):
        super().__init__(f"{name} has this conversation.")
        self.name = name


def display_name(user: Any) -> str:
    """What visitors call a member of the staff: the first name, else the user name."""
    return (user.get_short_name() or user.get_username())[:100]


def take_over(client_id: uuid.UUID, session_id: uuid.UUID, user: Any) -> None:
    """Have the visitor's messages go to this person. Harmless when repeated; Taken, or ApiError 404."""
    with client_scope(client_id):
        session = locked(session_id)
        if session.staff_user == user.get_username():
            return _alive(session)
        if holder(session):
            raise Taken(session.staff_name)
        if session.staff_user:
            _note(session, Event.LOST)
        session.staff_user, session.staff_name = user.get_username(), display_name(user)
        session.staff_seen, session.called = timezone.now(), None
        session.save(update_fields=["staff_user", "staff_name", "staff_seen", "called"])
        _note(session, Event.TAKEN)
    return None


def write(client_id: uuid.UUID, session_id: uuid.UUID, user: Any, text: str, trace_id: uuid.UUID) -> None:
    """A person's message to the visitor; the same `trace_id` twice is one message. Taken, ApiError 400 or 404."""
    text = text.strip()
    if not text or len(text) > LONGEST or "\x00" in text:
        raise ApiError("INVALID_REQUEST", f"A message has 1 to {LONGEST} characters.")
    with client_scope(client_id):
        session = locked(session_id)
        if session.staff_user != user.get_username():
            raise Taken(holder(session) or "The assistant")
        _alive(session)
        said = {"session": session, "text": text, "person": session.staff_name}
        Message.objects.get_or_create(trace_id=trace_id, role=Role.STAFF, defaults=said)


def hand_back(client_id: uuid.UUID, session_id: uuid.UUID, user: Any) -> None:
    """Let the model answer again; nothing happens unless this person has the conversation. ApiError 404."""
    with client_scope(client_id):
        session = locked(session_id)
        if session.staff_user == user.get_username():
            release(session, Event.RETURNED)


def still_here(client_id: uuid.UUID, session_id: uuid.UUID, user: Any) -> None:
    """The person's sign of life."""
    with client_scope(client_id):
        mine = Session.objects.filter(session_id=session_id, staff_user=user.get_username())
        mine.update(staff_seen=timezone.now())


def holder(session: Session) -> str:
    """The name of the person who has the conversation now; empty: the model answers.

    Who gave no sign of life for TAKEOVER_SECONDS has it no longer, whether or not the sweep has been there.
    """
    seen = session.staff_seen
    there = session.staff_user and seen and seen > timezone.now() - timedelta(seconds=settings.TAKEOVER_SECONDS)
    return session.staff_name if there else ""


def waiting(session: Session) -> bool:
    """Has the visitor asked for a person lately, and none has come?"""
    return session.called is not None and session.called > timezone.now() - PATIENCE


def release(session: Session, event: str) -> None:
    """Take the conversation from whoever has it; in the client's scope."""
    _note(session, event)
    session.staff_user, session.staff_name, session.staff_seen = "", "", None
    session.save(update_fields=["staff_user", "staff_name", "staff_seen"])


def hand_back_abandoned() -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Hand back what people left without a word; the clients and sessions. Safe to run at once in many processes."""
    latest = timezone.now() - timedelta(seconds=settings.TAKEOVER_SECONDS)
    with unscoped("people of every client may have gone from their conversations"):
        left = Session.objects.exclude(staff_user="").filter(staff_seen__lte=latest)
        found = list(left.order_by("staff_seen").values_list("client_id", "session_id")[:200])
    return [each for each in found if _hand_back_abandoned(*each)]


def _hand_back_abandoned(client_id: uuid.UUID, session_id: uuid.UUID) -> bool:
    with client_scope(client_id):
        session = Session.objects.select_for_update().filter(session_id=session_id).first()
        if session is None or not session.staff_user or holder(session):
            return False  # back, or erased, meanwhile
        release(session, Event.LOST)
        return True


def locked(session_id: uuid.UUID) -> Session:
    """The session's row, ours until the transaction ends, so that its turns have an order. ApiError 404."""
    session = Session.objects.select_for_update().filter(session_id=session_id).first()
    if session is None:
        raise ApiError("NOT_FOUND", "There is no such conversation.")
    return session


def _alive(session: Session) -> None:
    Session.objects.filter(pk=session.pk).update(staff_seen=timezone.now())


def _note(session: Session, event: str) -> None:
    note(session, event, session.staff_name)


def note(session: Session, event: str, person: str = "", text: str = "") -> None:
    """Write what happened into the transcript."""
    turn = {"role": Role.EVENT, "event": event, "person": person, "text": text}
    Message.objects.create(session=session, trace_id=new_trace_id(), **turn)
