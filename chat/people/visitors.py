"""What a visitor may ask of the client's people: to come, or to write an e-mail."""

import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from billing import limits
from chat.models import Contact, Message, Session, SupportHours
from chat.people import takeover
from tenants.errors import ApiError
from tenants.scoping import client_scope
from tenants.visitors import check_session_token

HOUR = timedelta(hours=1)
ASKS_AN_HOUR = 5  # of one session
ADDRESSES_AN_HOUR = 3  # of one session
ADDRESSES_OF_A_CLIENT = 60  # an hour; sessions cost nothing to make


def support() -> dict[str, Any] | None:
    """What `GET /config` says of people; in the client's scope. None: this client's people don't answer here."""
    hours = SupportHours.objects.first()
    return {"staffed": hours.open_at(timezone.now())} if hours else None


def ask(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None) -> dict[str, Any]:
    """Ask for a person; the model goes on answering until one comes. Says how things stand, as `state` does.

    Outside staffed hours nobody is asked. ApiError 404 or 429.
    """
    with client_scope(client_id):
        session = _session(client_id, session_id, token)
        cared_for = takeover.waiting(session) or takeover.holder(session)
        if not cared_for and (support() or {}).get("staffed"):
            _limit(Message.objects.filter(session=session, event=Message.Event.ASKED), ASKS_AN_HOUR)
            session.called = timezone.now()
            session.save(update_fields=["called"])
            takeover.note(session, Message.Event.ASKED)
        return state(session)


def leave_address(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None, email: str) -> None:
    """Note where people may write to, and have them told; the same address again is harmless. ApiError 404 or 429."""
    with client_scope(client_id):
        session = _session(client_id, session_id, token)
        if Contact.objects.filter(session=session, email=email, created__gt=timezone.now() - HOUR).exists():
            return
        _limit(Contact.objects.filter(session=session), ADDRESSES_AN_HOUR)
        _limit(Contact.objects.all(), ADDRESSES_OF_A_CLIENT)
        Contact.objects.create(session=session, email=email)
        takeover.note(session, Message.Event.ADDRESS, text=email)


def state(session: Session) -> dict[str, Any]:
    """Who answers in a session, and whether somebody could; in the client's scope."""
    name = takeover.holder(session)
    staffed = (support() or {"staffed": False})["staffed"]
    return {"person": {"name": name} if name else None, "waiting": takeover.waiting(session), "staffed": staffed}


def _session(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None) -> Session:
    if not check_session_token(client_id, session_id, token):
        raise ApiError("NOT_FOUND", "There is no such conversation.")
    return takeover.locked(session_id)


def _limit(earlier: Any, most: int) -> None:
    if earlier.filter(created__gt=timezone.now() - HOUR).count() >= most:
        raise limits.refused_for(HOUR.total_seconds(), "That was tried too often. Please try again later.")
