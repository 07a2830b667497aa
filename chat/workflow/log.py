"""What is written: a reservation before anything is asked of a model, completed when the answer ends, however it ends.

Each function is one transaction in synchronous code; no connection is held in between.
"""

import hashlib
import json
import uuid
from datetime import timedelta

from django.db.models import Q
from langgraph.runtime import Runtime

from billing import ledger
from chat.door import in_thread
from chat.llms import Turn, Usage
from chat.models import Message, Session
from chat.tape import Event
from chat.workflow.state import Question, Recorder, Reserved, Result, Run, State
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope

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

    Raises Repeated, or ApiError IDEMPOTENCY_CONFLICT.
    """
    with client_scope(question.client.pk):
        # The lock makes simultaneous requests with one idempotency key take turns.
        version = _client_row(question).knowledge_version
        _refuse_repetition(question)
        session, made = Session.objects.get_or_create(
            session_id=question.session_id, defaults={"metadata": question.metadata}
        )
        history: tuple[Turn, ...] = ()
        if not made:
            Session.objects.filter(pk=session.pk).update(last_seen=question.at)
            history = _history(session)
        _write_turn(question, session)
        ledger.reserve(str(question.trace_id), question.client, question.admission)
    return Reserved(history, version)


def complete(question: Question, result: Result) -> None:
    """Complete the reserved row and settle the ledger in one transaction. May run twice."""
    usage = total_usage(result)
    with client_scope(question.client.pk):
        answers = Message.objects.filter(trace_id=question.trace_id, role=Message.Role.ASSISTANT)
        answers.filter(outcome=Outcome.RUNNING).update(
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
            # A request that failed may be sent again under its key.
            **({"idempotency_key": None} if result.outcome == Outcome.FAILED else {}),
        )
        _settle(question, result, usage)


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


def _settle(question: Question, result: Result, usage: Usage) -> None:
    """Every answer counts once, also one from the cache or cut short; a failure counts if it reached a model."""
    request_id = str(question.trace_id)
    unanswered = result.outcome in (Outcome.FAILED, Outcome.CANCELLED) and not result.text
    if unanswered and result.usage is None and result.rewriting is None:
        ledger.release(request_id, error=result.outcome == Outcome.FAILED, latency_ms=result.last_token_ms)
        return
    ledger.record(
        request_id=request_id,
        usage=usage,
        prices=result.model.prices.as_json() if result.model else None,
        cached=result.cached,
        latency_ms=result.last_token_ms,
    )


def request_hash(question: Question) -> str:
    """What "the same body" means for an idempotency key: session and message."""
    return hashlib.sha256(json.dumps([str(question.session_id), question.text]).encode()).hexdigest()


def _client_row(question: Question) -> Client:
    rows = Client.objects.only("knowledge_version")
    if question.idempotency_key:
        # Not against key shares: who inserts rows of the client while it holds the hour's count would wait for us.
        rows = rows.select_for_update(no_key=True)
    return rows.get(pk=question.client.pk)


def _refuse_repetition(question: Question) -> None:
    if not question.idempotency_key:
        return
    earlier = Message.objects.filter(idempotency_key=question.idempotency_key).select_related("session").first()
    if earlier is None:
        return
    if earlier.created < question.at - IDEMPOTENT_FOR:
        Message.objects.filter(pk=earlier.pk).update(idempotency_key=None)
        return
    if earlier.request_hash != request_hash(question):
        raise ApiError("IDEMPOTENCY_CONFLICT", "This Idempotency-Key was used with another question.")
    raise Repeated(earlier)


def _history(session: Session) -> tuple[Turn, ...]:
    """The last turns, oldest first; answers that failed or are under way don't count."""
    said = Q(role=Message.Role.VISITOR) | Q(outcome__in=(Outcome.ANSWERED, Outcome.REFUSED, Outcome.CANCELLED))
    rows = Message.objects.filter(said, session=session).order_by("-created", "-pk")
    newest = list(rows.values_list("role", "text")[:HISTORY_ROWS])
    return tuple(Turn(role, text) for role, text in reversed(newest))


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


def stored_answer(client_id: uuid.UUID, trace_id: uuid.UUID) -> Message:
    """The row of an answer of this client; ApiError 404."""
    with client_scope(client_id):
        row = Message.objects.filter(trace_id=trace_id, role=Message.Role.ASSISTANT).select_related("session").first()
    if row is None:
        raise ApiError("NOT_FOUND", "There is no such answer.")
    return row


async def log(state: State, runtime: Runtime[Run]) -> dict[str, object]:
    """The last node: complete the row, then tell the followers that the answer is whole."""
    run = runtime.context
    await in_thread(complete, run.question, run.result)
    usage = total_usage(run.result)
    closing_events(run.tape, run.result.sources, usage.prompt_tokens, usage.completion_tokens, run.result.cached)
    return {}


def closing_events(tape: Recorder, sources: list, prompt_tokens: int, completion_tokens: int, cached: bool) -> None:
    """`sources`, `usage` and `done`."""
    tape.append(Event("sources", sources))
    usage = {
        "promptTokens": prompt_tokens,
        "completionTokens": completion_tokens,
        "totalTokens": prompt_tokens + completion_tokens,
        "cached": cached,
    }
    tape.append(Event("usage", usage))
    tape.append(Event("done", "[DONE]"))
