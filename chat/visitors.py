"""What a visitor may do with a session of their own: read it back, rate an answer, have it erased."""

import uuid
from typing import Any

from chat.models import Message, Session
from tenants.errors import ApiError
from tenants.scoping import client_scope
from tenants.visitors import check_session_token


def messages(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None) -> list[dict[str, Any]]:
    """The session's turns, oldest first, as the visitor saw them; ApiError 404 for any other client or token."""
    with client_scope(client_id):
        session = _session(client_id, session_id, token)
        rows = session.messages.exclude(outcome=Message.Outcome.RUNNING).exclude(outcome=Message.Outcome.FAILED)
        rows = rows.exclude(role=Message.Role.EVENT)
        return [_turn(row) for row in rows]


def erase(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None) -> None:
    """Erase a visitor's session and all its messages. The ledger holds no content and stays. ApiError 404."""
    with client_scope(client_id):
        _session(client_id, session_id, token).delete()


def rate(client_id: uuid.UUID, trace_id: uuid.UUID, token: str | None, rating: str, comment: str) -> None:
    """Note a visitor's rating of an answer; a second one replaces the first. ApiError 404."""
    with client_scope(client_id):
        answers = Message.objects.filter(trace_id=trace_id, role=Message.Role.ASSISTANT)
        answer = answers.select_related("session").first()
        if answer is None or not check_session_token(client_id, answer.session.session_id, token):
            raise ApiError("NOT_FOUND", "There is no such answer.")
        answers.update(rating=rating, comment=comment)


def _session(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None) -> Session:
    session = Session.objects.filter(session_id=session_id).first()
    if session is None or not check_session_token(client_id, session_id, token):
        raise ApiError("NOT_FOUND", "There is no such session.")
    return session


def _turn(row: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {
        "role": "visitor" if row.role == Message.Role.VISITOR else "assistant",
        "message": row.text,
        "traceId": str(row.trace_id),
        "createdAt": row.created.isoformat(),
    }
    if row.role != Message.Role.VISITOR:
        turn |= {"sources": row.sources, "rating": row.rating or None}
    if row.role == Message.Role.STAFF:  # to callers that know of no people, an answer like others
        turn |= {"person": {"name": row.person}}
    return turn
