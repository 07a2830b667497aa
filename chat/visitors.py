"""What a visitor may do with a session of their own: read it back, rate an answer, take it away, have it erased."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction

from chat import answer_cache, tapes
from chat.models import Contact, Message, Session, SessionErasure
from tenants import erasure
from tenants import export as exports
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


def export(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None) -> Iterator[str]:
    """Everything held of a session as JSON in pieces. ApiError 404, at once."""
    with client_scope(client_id):
        return exported(_session(client_id, session_id, token))


def exported(session: Session) -> Iterator[str]:
    """The same for whoever may read the session; opens its own scopes."""
    yield f'{{"session":{exports.as_json(exports.as_dict(session))}'
    for related in ("messages", "contacts"):
        yield f',"{related}":'
        yield from exports.array(_batches(session, related))
    yield "}"


def _batches(session: Session, related: str) -> Iterator[list[dict[str, Any]]]:
    """The rows that belong to a session, oldest first, each batch in a scope of its own."""
    last = 0
    while True:
        with client_scope(session.client_id):
            batch = list(getattr(session, related).filter(pk__gt=last).order_by("pk")[: exports.BATCH])
        if not batch:
            return
        yield [exports.as_dict(row) for row in batch]
        last = batch[-1].pk


def erase(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None) -> dict[str, Any]:
    """Erase a visitor's session with everything said in it, wherever it is; the receipt.

    Answers that are being written are stopped, in other processes within tapes.HEARTBEAT seconds; so that nothing
    comes back, what is outside the database is erased before the rows and after them. The ledger holds no content and
    stays. ApiError 404, or 503 when Redis does not answer: then nothing is erased, and the visitor may try again.
    """
    traces, running = _traces(client_id, session_id, token)
    outside = async_to_sync(erase_outside)
    try:
        before = outside(client_id, session_id, traces)
        receipt = _erase_locked(client_id, session_id, before)
        if running:
            time.sleep(tapes.HEARTBEAT + 0.5)
        outside(client_id, session_id, traces)
        after = outside(client_id, session_id, traces)  # finds nothing
    except tapes.Away as error:
        raise ApiError("SERVICE_UNAVAILABLE", "This can't be erased right now. Please try again.") from error
    told = _finish(receipt, after)
    erasure.empty_log()
    return told


async def erase_outside(client_id: uuid.UUID, session_id: uuid.UUID, traces: list[uuid.UUID]) -> dict[str, int]:
    """Erase what is remembered of a session outside the database; how much there was. Raises tapes.Away."""
    recordings = await tapes.recorded(client_id, traces)
    await tapes.erase(client_id, traces)
    return {"recordings": recordings, "cachedAnswers": await answer_cache.erase(client_id, session_id)}


def erase_with_change(session: Session) -> SessionErasure:
    """Erase a session as part of a change that is under way, in scope; the receipt of its rows.

    What is outside the database is erased when the change is committed.
    """
    client_id, session_id, traces = session.client_id, session.session_id, _traces_of(session)
    transaction.on_commit(lambda: async_to_sync(erase_outside)(client_id, session_id, traces), robust=True)
    transaction.on_commit(erasure.empty_log, robust=True)
    return _erase_rows(session)


def _erase_rows(session: Session, outside: dict[str, int] | None = None) -> SessionErasure:
    key = session.pk
    before = _rows(key) | (outside or {})
    answers = session.messages.filter(role=Message.Role.ASSISTANT).count()
    session.delete()
    return SessionErasure.objects.create(client_id=session.client_id, answers=answers, before=before, after=_rows(key))


def _rows(session: int) -> dict[str, int]:
    models = {"messages": Message, "contacts": Contact}
    return {name: model.objects.filter(session_id=session).count() for name, model in models.items()}


def _traces_of(session: Session) -> list[uuid.UUID]:
    return list(session.messages.order_by().values_list("trace_id", flat=True).distinct())


def _traces(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None) -> tuple[list[uuid.UUID], bool]:
    with client_scope(client_id):
        session = _session(client_id, session_id, token)
        return _traces_of(session), session.messages.filter(outcome=Message.Outcome.RUNNING).exists()


def _erase_locked(client_id: uuid.UUID, session_id: uuid.UUID, before: dict[str, int]) -> SessionErasure:
    with client_scope(client_id):
        session = Session.objects.select_for_update().filter(session_id=session_id).first()
        if session is None:  # erased twice at once: the other one has the receipt
            raise ApiError("NOT_FOUND", "There is no such session.")
        return _erase_rows(session, before)


def _finish(receipt: SessionErasure, outside: dict[str, int]) -> dict[str, Any]:
    with client_scope(receipt.client_id):
        receipt.after |= outside
        receipt.save(update_fields=["after"])
    return {
        "receiptId": str(receipt.pk),
        "erased": receipt.at.isoformat(),
        "before": receipt.before,
        "after": receipt.after,
    }


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
