"""What is written: a reservation before anything is asked of a model, completed when the answer ends, however it ends.

Each function is one transaction in synchronous code; no connection is held in between.
"""

import asyncio
import hashlib
import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from django.db.models import Q

from billing import ledger
from chat.llms import Turn, Usage
from chat.models import Message, Session
from chat.people import takeover
from chat.tape import Event
from chat.workflow.most import most_it_can_cost
from chat.workflow.state import Question, Reserved, Result, Run, State
from tenants import statements
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope
from tenants.threads import in_thread

if TYPE_CHECKING:  # LangGraph takes a second to import; config/preload.py does it beside the start
    from langgraph.runtime import Runtime

logger = structlog.get_logger(__name__)
Outcome = Message.Outcome
SESSION_FIELDS = ("id", "staff_user", "staff_name", "staff_seen")
SAVE_SECONDS, SAVE_AGAIN_SECONDS = 2.0, 0.5  # for the row, while the visitor waits for the last event
HISTORY_ROWS = 6  # the last three questions and answers
IDEMPOTENT_FOR = timedelta(hours=24)
_ROLES = {"visitor": "visitor", "assistant": "assistant", "staff": "assistant"}  # as models know them


class Repeated(Exception):
    """The same idempotency key came with the same question before; `answer` is that answer's row."""

    def __init__(self, answer: Message):
        super().__init__("repeated request")
        self.answer = answer


def reserve(question: Question) -> Reserved:
    """Write the visitor's turn and reserve the answer's row and its place in the ledger. Where a person has the
    conversation, only the turn is written.

    Raises Repeated, or ApiError IDEMPOTENCY_CONFLICT, RATE_LIMITED or QUOTA_EXCEEDED.
    """
    with client_scope(question.client.pk, in_haste=True):
        version = _knowledge_version(question)
        if failed := _failed_before(question):
            return _again(question, failed, version)
        session, made = _session(question)
        history: tuple[Turn, ...] = ()
        if not made:
            session = _seen(question, session)
            if person := takeover.holder(session):
                _write_turn_to(person, question, session)
                return Reserved(history, version, person)
            history = _history(session.pk)
        if question.refused is not None:
            raise question.refused
        _write_turn(question, session)
        hold = most_it_can_cost(question, history)
        ledger.reserve(str(question.trace_id), question.client, question.admission, hold=hold)
    return Reserved(history, version)


def is_taken_over(question: Question) -> bool:
    """Does a person have the question's conversation, so that the client's hour is no matter?"""
    with client_scope(question.client.pk):
        known = _known(question)
        return known is not None and bool(takeover.holder(known))


def refuse_repetition(question: Question) -> bool:
    """Raise Repeated or ApiError IDEMPOTENCY_CONFLICT if the question's idempotency key is taken. True: its answer
    failed and is in the books, so the question has its place in the hour."""
    with client_scope(question.client.pk):
        return _failed_before(question) is not None


def complete(trace_id: uuid.UUID, client_id: uuid.UUID, result: Result) -> bool:
    """Complete the reserved row and settle the ledger in one transaction; False when that was done before."""
    usage = total_usage(result)
    with client_scope(client_id, in_haste=True):
        row = {
            "outcome": result.outcome,
            "text": result.text,
            "sources": result.sources,
            "model": usage.model,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached": result.cached,
            "error_code": result.error_code,
            "first_token_ms": result.first_token_ms,
            "last_token_ms": result.last_token_ms,
        }
        open_row = {"trace_id": trace_id, "role": Message.Role.ASSISTANT, "outcome": Outcome.RUNNING}
        completed = statements.update_unseen(Message, row, **open_row)
        if not result.billed:
            ledger.release(str(trace_id), error=result.outcome == Outcome.FAILED, latency_ms=result.last_token_ms)
        else:
            ledger.record(
                request_id=str(trace_id),
                usage=usage,
                prices=result.model.prices.as_json() if result.model else None,
                cached=result.cached,
                latency_ms=result.last_token_ms,
            )
    return bool(completed())


def total_usage(result: Result) -> Usage:
    """All tokens of a request: the answer's, and those of making a follow-up stand alone."""
    calls = [usage for usage in (result.usage, result.rewriting) if usage is not None]
    return Usage(
        model=calls[0].model if calls else "",
        prompt_tokens=sum(usage.prompt_tokens for usage in calls),
        completion_tokens=sum(usage.completion_tokens for usage in calls),
        cache_read_tokens=sum(usage.cache_read_tokens for usage in calls),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in calls),
        exact=all(usage.exact for usage in calls),
    )


async def save(run: Run) -> None:
    """`complete`, tried again while the database is away. If it stays away the visitor is not kept waiting: the
    sweeper completes the row from the tape."""
    try:
        async with asyncio.timeout(SAVE_SECONDS):
            while True:
                try:
                    await in_thread(complete, run.trace_id, run.question.client.pk, run.result)
                    return
                except Exception as error:
                    logger.error("an answer's row could not be completed", exc_info=error)
                    await asyncio.sleep(SAVE_AGAIN_SECONDS)
    except TimeoutError:
        logger.error("an answer's row is left to the sweeper", trace_id=str(run.trace_id))


def request_hash(question: Question) -> str:
    """What "the same body" means for an idempotency key: message, session as it was given, and metadata."""
    session = None if question.new_session else str(question.session_id)
    return hashlib.sha256(json.dumps([session, question.text, question.metadata], sort_keys=True).encode()).hexdigest()


def _knowledge_version(question: Question) -> int:
    """The client's. With an idempotency key its row is locked, so that simultaneous requests with one take turns."""
    if not question.idempotency_key:
        return statements.look_up(Client, "knowledge_version")
    # Not against key shares: who inserts rows of the client while it holds the hour's count would wait for us.
    rows = Client.objects.select_for_update(no_key=True).values_list("knowledge_version", flat=True)
    return rows.get(pk=question.client.pk)


def _failed_before(question: Question) -> Message | None:
    """An earlier answer under the question's idempotency key that failed and was billed, so that it is made again in
    its place. Raises Repeated for one that did not fail, and ApiError IDEMPOTENCY_CONFLICT for another question."""
    if not question.idempotency_key:
        return None
    earlier = Message.objects.filter(idempotency_key=question.idempotency_key).select_related("session").first()
    if earlier is None:
        return None
    unbilled = earlier.outcome == Outcome.FAILED and not earlier.model and not earlier.text
    if unbilled or earlier.created < question.at - IDEMPOTENT_FOR:
        Message.objects.filter(pk=earlier.pk).update(idempotency_key=None)
        return None
    if earlier.request_hash != request_hash(question):
        raise ApiError("IDEMPOTENCY_CONFLICT", "This Idempotency-Key was used with another question.")
    if earlier.outcome != Outcome.FAILED:
        raise Repeated(earlier)
    return earlier


def _again(question: Question, failed: Message, version: int) -> Reserved:
    """Open a failed answer's row once more: its request is in the books already."""
    Message.objects.filter(pk=failed.pk).update(outcome=Outcome.RUNNING, error_code="", created=question.at)
    history = _history(failed.session_id, before=failed)
    return Reserved(history, version, again=failed.trace_id, session_id=failed.session.session_id)


def _session(question: Question) -> tuple[Session, bool]:
    """The question's session, and whether it begins with it."""
    if not question.new_session and (known := _known(question)):
        return known, False
    named = {"session_id": question.session_id}
    if made := statements.insert(Session, {**named, "metadata": question.metadata}, ignore_conflicts=True):
        return Session(pk=made[0], **named), True
    known = _known(question)  # another request has just begun it
    return (known, False) if known else _session(question)  # and the visitor has had it erased again


def _known(question: Question) -> Session | None:
    """The question's session as far as an answer needs it."""
    rows = statements.select(Session, SESSION_FIELDS, session_id=question.session_id)
    return Session(**dict(zip(SESSION_FIELDS, rows[0], strict=True))) if rows else None


def _seen(question: Question, session: Session) -> Session:
    """Note that the visitor is there, which locks the row; read anew if a person came or went just then."""
    if statements.update(Session, {"last_seen": question.at}, id=session.pk, staff_user=session.staff_user):
        return session
    return _known(question) or session


def _history(session: int, before: Message | None = None) -> tuple[Turn, ...]:
    """The last turns (before an answer) of the session with this key, oldest first; answers that failed or are under
    way don't count."""
    said = Q(role__in=(Message.Role.VISITOR, Message.Role.STAFF)) | Q(
        outcome__in=(Outcome.ANSWERED, Outcome.REFUSED, Outcome.CANCELLED)
    )
    rows = Message.objects.filter(said, session_id=session).order_by("-created", "-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before.pk).exclude(trace_id=before.trace_id)
    newest = [(_ROLES[role], text) for role, text in rows.values_list("role", "text")[:HISTORY_ROWS]]
    return tuple(Turn(role, text) for role, text in reversed(newest))


def _write_turn_to(person: str, question: Question, session: Session) -> None:
    """The visitor's turn alone; a repetition finds it by its key."""
    Message.objects.create(
        session_id=session.pk,
        trace_id=question.trace_id,
        role=Message.Role.VISITOR,
        text=question.text,
        person=person,
        idempotency_key=question.idempotency_key,
        request_hash=request_hash(question) if question.idempotency_key else "",
    )


def history_before(question: Message) -> tuple[Turn, ...]:
    """What the model was told of the conversation when this question of a visitor was asked."""
    return _history(question.session_id, before=question)


def _write_turn(question: Question, session: Session) -> None:
    turn = {"session": session.pk, "trace_id": question.trace_id}
    answer = {"outcome": Outcome.RUNNING, "idempotency_key": question.idempotency_key}
    if question.idempotency_key:
        answer["request_hash"] = request_hash(question)
    statements.write(
        Message,
        {**turn, "role": Message.Role.VISITOR, "text": question.text},
        {**turn, "role": Message.Role.ASSISTANT, **answer},
    )


async def log(state: State, runtime: "Runtime[Run]") -> dict[str, object]:
    """The last node."""
    await finish(runtime.context)
    return {}


async def finish(run: Run) -> None:
    """Complete the row, then tell the followers that the answer is whole."""
    run.tape.task = None  # from here on there is nothing to stop
    await save(run)
    usage, result = total_usage(run.result), run.result
    run.tape.append(*closing_events(result.sources, usage.prompt_tokens, usage.completion_tokens, result.cached))


def closing_events(
    sources: list[dict[str, Any]], prompt_tokens: int, completion_tokens: int, cached: bool
) -> tuple[Event, Event, Event]:
    """`sources`, `usage` and `done`."""
    usage = {
        "promptTokens": prompt_tokens,
        "completionTokens": completion_tokens,
        "totalTokens": prompt_tokens + completion_tokens,
        "cached": cached,
    }
    return Event("sources", sources), Event("usage", usage), Event("done", "[DONE]")
