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
from django.db import DatabaseError
from django.db.models import Q

from billing import ledger
from chat.door import in_thread
from chat.llms import Turn, Usage
from chat.models import Message, Session
from chat.tape import Event
from chat.workflow.state import Question, Reserved, Result, Run, State
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope

if TYPE_CHECKING:  # LangGraph takes a second to import; config/preload.py does it beside the start
    from langgraph.runtime import Runtime

logger = structlog.get_logger(__name__)
Outcome = Message.Outcome
HISTORY_ROWS = 6  # the last three questions and answers
IDEMPOTENT_FOR = timedelta(hours=24)


class Repeated(Exception):
    """The same idempotency key came with the same question before; `answer` is that answer's row."""

    def __init__(self, answer: Message):
        super().__init__("repeated request")
        self.answer = answer


def reserve(question: Question) -> Reserved:
    """Write the visitor's turn and reserve the answer's row and its place in the ledger.

    Raises Repeated, or ApiError IDEMPOTENCY_CONFLICT, RATE_LIMITED or QUOTA_EXCEEDED.
    """
    with client_scope(question.client.pk):
        # The lock makes simultaneous requests with one idempotency key take turns.
        version = _client_row(question).knowledge_version
        if failed := _failed_before(question):
            return _again(question, failed, version)
        session, made = _session(question)
        history: tuple[Turn, ...] = ()
        if not made:
            Session.objects.filter(pk=session.pk).update(last_seen=question.at)
            history = _history(session)
        _write_turn(question, session)
        ledger.reserve(str(question.trace_id), question.client, question.admission)
    return Reserved(history, version)


def refuse_repetition(question: Question) -> None:
    """Raise Repeated or ApiError IDEMPOTENCY_CONFLICT if the question's idempotency key is taken."""
    with client_scope(question.client.pk):
        _failed_before(question)


def complete(trace_id: uuid.UUID, client_id: uuid.UUID, result: Result) -> bool:
    """Complete the reserved row and settle the ledger in one transaction; False when that was done before."""
    usage = total_usage(result)
    with client_scope(client_id):
        done = Message.objects.filter(trace_id=trace_id, role=Message.Role.ASSISTANT, outcome=Outcome.RUNNING).update(
            outcome=result.outcome,
            text=result.text,
            sources=result.sources,
            model=usage.model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached=result.cached,
            error_code=result.error_code,
            first_token_ms=result.first_token_ms,
            last_token_ms=result.last_token_ms,
        )
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
    return bool(done)


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
    for pause in (0.2, 1.0, None):
        try:
            await in_thread(complete, run.trace_id, run.question.client.pk, run.result)
            return
        except DatabaseError as error:
            logger.error("an answer's row could not be completed", exc_info=error)
            if pause is None:
                return
            await asyncio.sleep(pause)


def request_hash(question: Question) -> str:
    """What "the same body" means for an idempotency key: message, session as it was given, and metadata."""
    session = None if question.new_session else str(question.session_id)
    return hashlib.sha256(json.dumps([session, question.text, question.metadata], sort_keys=True).encode()).hexdigest()


def _client_row(question: Question) -> Client:
    rows = Client.objects.only("knowledge_version")
    if question.idempotency_key:
        # Not against key shares: who inserts rows of the client while it holds the hour's count would wait for us.
        rows = rows.select_for_update(no_key=True)
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
    return Reserved(_history(failed.session, before=failed), version, failed.trace_id)


def _session(question: Question) -> tuple[Session, bool]:
    """The question's session, and whether it begins with it."""
    if question.new_session:
        return Session.objects.create(session_id=question.session_id, metadata=question.metadata), True
    return Session.objects.get_or_create(session_id=question.session_id, defaults={"metadata": question.metadata})


def _history(session: Session, before: Message | None = None) -> tuple[Turn, ...]:
    """The last turns (before an answer), oldest first; answers that failed or are under way don't count."""
    said = Q(role=Message.Role.VISITOR) | Q(outcome__in=(Outcome.ANSWERED, Outcome.REFUSED, Outcome.CANCELLED))
    rows = Message.objects.filter(said, session=session).order_by("-created", "-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before.pk).exclude(trace_id=before.trace_id)
    newest = list(rows.values_list("role", "text")[:HISTORY_ROWS])
    return tuple(Turn(role, text) for role, text in reversed(newest))


def history_before(question: Message) -> tuple[Turn, ...]:
    """What the model was told of the conversation when this question of a visitor was asked."""
    return _history(question.session, before=question)


def _write_turn(question: Question, session: Session) -> None:
    turn = {"client_id": question.client.pk, "session": session, "trace_id": question.trace_id}
    Message.objects.bulk_create(
        [
            Message(**turn, role=Message.Role.VISITOR, text=question.text),
            Message(
                **turn,
                role=Message.Role.ASSISTANT,
                outcome=Outcome.RUNNING,
                idempotency_key=question.idempotency_key,
                request_hash=request_hash(question) if question.idempotency_key else "",
            ),
        ]
    )


async def log(state: State, runtime: "Runtime[Run]") -> dict[str, object]:
    """The last node: complete the row, then tell the followers that the answer is whole."""
    run = runtime.context
    run.tape.task = None  # from here on there is nothing to stop
    await save(run)
    usage, result = total_usage(run.result), run.result
    run.tape.append(*closing_events(result.sources, usage.prompt_tokens, usage.completion_tokens, result.cached))
    return {}


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
