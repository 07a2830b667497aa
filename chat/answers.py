"""Start an answer, and drain it. One event stream, whichever door it leaves through."""

import asyncio
import time
import uuid
from typing import Any

from billing import limits
from chat import tape as tapes
from chat.door import in_thread
from chat.llms import LlmError
from chat.models import Message
from chat.tape import Event, Tape
from chat.workflow import log
from chat.workflow.graph import answer_graph
from chat.workflow.state import Question, Result, Run
from tenants.errors import ApiError, as_api_error
from tenants.visitors import session_token

Outcome = Message.Outcome


async def begin(question: Question) -> Tape:
    """Reserve the question's rows and start answering; returns the tape to follow.

    A repeated request (same Idempotency-Key, same question) gets the first one's answer and is not counted.
    """
    try:
        reserved = await in_thread(log.reserve, question)
    except log.Repeated as repeated:
        await limits.withdraw(question.client, question.admission)
        return _replay(repeated.answer)
    except BaseException:
        await limits.withdraw(question.client, question.admission)
        raise
    tape = _opened(Tape(question.client.pk, question.session_id, question.trace_id))
    run = Run(question, reserved, tape, Result(), time.monotonic())
    tape.task = asyncio.create_task(_answer(run), name=f"answer {question.trace_id}")
    return tape


async def drain(tape: Tape, seconds: float) -> dict[str, Any]:
    """The whole answer as the contract's JSON; ApiError TIMEOUT after `seconds`, and the answer is stopped."""
    parts: list[str] = []
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(seconds):
            async for _, event in tape.follow():
                if event.name == "chunk":
                    parts.append(event.data)
                else:
                    found[event.name] = event.data
    except TimeoutError:
        tape.stop()
        raise ApiError("TIMEOUT", "The answer took too long. Please try again.") from None
    if error := found.get("error"):
        raise ApiError(error["code"], error["message"])
    return {
        "response": "".join(parts),
        "sessionId": str(tape.session_id),
        "traceId": str(tape.trace_id),
        "sources": found["sources"],
        "usage": found["usage"],
        "sessionToken": found["start"]["sessionToken"],
    }


async def _answer(run: Run) -> None:
    """Answer; whatever happens, leave a completed row, a settled ledger and a finished tape."""
    try:
        await answer_graph().ainvoke({}, context=run)
    except asyncio.CancelledError:
        await _end(run, Outcome.CANCELLED, ApiError("TIMEOUT", "The answer was stopped."))
    except LlmError as error:
        await _end(run, Outcome.FAILED, ApiError(error.code, str(error)))
    except Exception as error:  # noqa: BLE001 - told to the visitor, recorded in the row, and logged
        await _end(run, Outcome.FAILED, as_api_error(error))


async def _end(run: Run, outcome: str, error: ApiError) -> None:
    """Record an answer that did not come to its end: what was said is stored and billed as said."""
    run.result.outcome, run.result.error_code = outcome, error.code
    saved = asyncio.create_task(in_thread(log.complete, run.question, run.result))
    try:
        await asyncio.shield(saved)
    finally:
        run.tape.append(Event("error", error_data(error, run.question.trace_id)))
    if run.result.usage is None:
        await limits.withdraw(run.question.client, run.question.admission)


def error_data(error: ApiError, trace_id: uuid.UUID) -> dict[str, str]:
    """The contract's `error` event."""
    return {"code": error.code, "message": error.message, "traceId": str(trace_id)}


def _opened(tape: Tape) -> Tape:
    tape.append(
        Event(
            "start",
            {
                "traceId": str(tape.trace_id),
                "sessionId": str(tape.session_id),
                "sessionToken": session_token(tape.client_id, tape.session_id),
            },
        )
    )
    return tape


def _replay(answer: Message) -> Tape:
    """The tape of an earlier answer: the running one's own, else one made from its row."""
    session_id = answer.session.session_id
    running = tapes.get(answer.trace_id)
    if running is not None:
        return running
    tape = _opened(Tape(answer.client_id, session_id, answer.trace_id))
    if answer.outcome == Outcome.RUNNING:
        error = ApiError("SERVICE_UNAVAILABLE", "The answer is still being written. Please try again in a moment.")
        tape.append(Event("error", error_data(error, tape.trace_id)))
        return tape
    if answer.text:
        tape.append(Event("chunk", answer.text))
    log.closing_events(tape, answer.sources, answer.prompt_tokens, answer.completion_tokens, answer.cached)
    return tape
