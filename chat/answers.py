"""Start an answer, and drain it. One event stream, whichever door it leaves through."""

import asyncio
import time
import uuid
from dataclasses import replace
from typing import Any

from django.db import IntegrityError

from billing import limits
from chat import caretaker, door, metrics, tapes
from chat.llms import LlmError
from chat.models import Message
from chat.people import feed
from chat.tape import Event, Tape
from chat.understanding.language import language_of, phrase
from chat.workflow import log
from chat.workflow.generate import say_ready
from chat.workflow.graph import answer_graph
from chat.workflow.state import Question, Reserved, Result, Run
from chat.workflow.understand import begin_search, understand
from tenants import tracing
from tenants.errors import ApiError, as_api_error, new_trace_id
from tenants.threads import in_thread
from tenants.visitors import session_token

Outcome = Message.Outcome
WHOLE = (Outcome.ANSWERED, Outcome.REFUSED, Outcome.GREETED)
FIRST_FOLLOWER_SECONDS = 1.0  # until the door that asked follows; it may have gone meanwhile
_running: set[asyncio.Task] = set()  # answers of this process, until their rows are completed
metrics.RUNNING.set_function(lambda: len(_running))


async def begin(question: Question, by: float) -> Tape:
    """Reserve the question's rows and start answering; returns the tape to follow.

    A repeated request (same Idempotency-Key, same question) gets the first one's answer and is not counted.
    ApiError RATE_LIMITED, QUOTA_EXCEEDED or IDEMPOTENCY_CONFLICT; SERVICE_UNAVAILABLE at the event loop's time `by`,
    and then no model is asked, should the rows be written later.
    """
    caretaker.start()
    started: asyncio.Future[Tape] = asyncio.get_running_loop().create_future()
    started.add_done_callback(lambda future: future.cancelled() or future.exception())  # the visitor may have left
    task = asyncio.create_task(_handle(question, started), name=f"answer {question.trace_id}")
    _running.add(task)
    task.add_done_callback(_running.discard)
    async with door.within(by):
        try:
            return await asyncio.shield(started)
        except asyncio.CancelledError:
            if asyncio.get_running_loop().time() >= by:
                started.cancel()
            else:
                started.add_done_callback(_nobody_waits)
            raise


async def drain(tape: Tape, seconds: float) -> dict[str, Any]:
    """The whole answer as the contract's JSON; ApiError TIMEOUT after `seconds`, and the answer is stopped."""
    parts: list[str] = []
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(seconds):
            async for _, events in tape.follow():
                for event in events:
                    if event.name == "chunk":
                        parts.append(event.data)
                    else:
                        found[event.name] = event.data
    except TimeoutError:
        if not tape.followed:  # by somebody else, who repeated the question
            tape.stop()
        raise ApiError("TIMEOUT", "The answer took too long. Please try again.") from None
    if error := found.get("error"):
        raise ApiError(error["code"], error["message"])
    if "done" not in found:  # this process ends, and another one makes or keeps the answer
        raise _interrupted()
    return {
        "response": "".join(parts),
        "sessionId": str(tape.session_id),
        "traceId": str(tape.trace_id),
        "sources": found["sources"],
        "usage": found["usage"],
        "sessionToken": found["start"]["sessionToken"],
        **({"person": found["start"]["person"]} if "person" in found["start"] else {}),
    }


async def finish_all(seconds: float) -> None:
    """For a shutdown: let running answers end; what is left after `seconds` is stopped, stored and billed as it is."""
    if _running:
        await asyncio.wait(_running, timeout=seconds)
    for tape in tapes.running():
        tape.stop()
    if _running:
        await asyncio.wait(_running, timeout=5)


async def _handle(question: Question, started: "asyncio.Future[Tape]") -> None:
    """One question from its reservation to its completed row, in a task of its own: no visitor's leaving cuts it
    short between two steps."""
    billed = False
    try:
        booked = bool(question.idempotency_key) and await in_thread(log.refuse_repetition, question)
        if question.refused is not None and not booked and not await in_thread(log.is_taken_over, question):
            raise question.refused
        async with limits.slot(question.client.pk, question.visitor):
            ahead = None if question.idempotency_key else begin_search(question)
            question, reserved = await _reserve(question)
            if reserved.session_id is not None:
                question = replace(question, session_id=reserved.session_id)
            if reserved.again or reserved.person:  # nothing is counted (again)
                await limits.withdraw(question.client, question.admission)
            if reserved.person:
                _tell(started, _told(question, reserved.person))
                return await feed.tell(question.client.pk, question.session_id)
            if started.cancelled() and not reserved.again:
                return await in_thread(_give_up, question)
            trace_id, anew = reserved.again or question.trace_id, reserved.again is not None
            tape = tapes.make(question.client.pk, question.session_id, trace_id, anew=anew)
            tape.append(opening(tape))
            run = Run(question, reserved, tape, Result(), time.monotonic(), ahead=ahead)
            tape.task = asyncio.create_task(_answer(run))
            tape.expect_followers(FIRST_FOLLOWER_SECONDS)
            _tell(started, tape)
            await asyncio.wait({tape.task})
            metrics.count_answer(run)
            billed = run.result.billed and not reserved.again
            tapes.forget_later(tape)
    except log.Repeated as repeated:
        metrics.count_request(question.door, question.client, "repeated")
        _tell(started, await _replay(repeated.answer))
    except Exception as error:  # noqa: BLE001 - raised where the answer is waited for
        if not started.done():
            started.set_exception(error)
    finally:
        if not billed:  # the admission shows its place as free before who waits goes on
            await limits.withdraw(question.client, question.admission)


def _nobody_waits(started: "asyncio.Future[Tape]") -> None:
    """Who asked left before there was an answer to follow."""
    if not started.cancelled() and started.exception() is None:
        started.result().expect_followers()


def _tell(started: "asyncio.Future[Tape]", tape: Tape) -> None:
    """Hand the tape to whoever still waits for it."""
    if not started.cancelled():
        started.set_result(tape)


def _give_up(question: Question) -> None:
    """Complete the row of a question whose visitor was told SERVICE_UNAVAILABLE before it was written."""
    result = Result(outcome=Outcome.FAILED, error_code="SERVICE_UNAVAILABLE")
    log.complete(question.trace_id, question.client.pk, result)


async def _reserve(question: Question) -> tuple[Question, Reserved]:
    """Reserve the rows; a trace id that the caller chose and used before gives way to a fresh one."""
    try:
        return question, await in_thread(log.reserve, question)
    except IntegrityError:
        question = replace(question, trace_id=new_trace_id())
        return question, await in_thread(log.reserve, question)


async def _answer(run: Run) -> None:
    """Answer; whatever happens, leave a completed row, a settled ledger and a finished tape."""
    try:
        with tracing.span("understand"):
            state = await understand(run)
        if state.get("ready"):
            say_ready(run, state["text"])
            await log.finish(run)
        else:
            await answer_graph().ainvoke(state, context=run)
    except asyncio.CancelledError:
        if door.closing:  # as when the process is killed: under its key the answer may be made again in its place
            await _end(run, Outcome.FAILED, _interrupted())
        else:
            await _end(run, Outcome.CANCELLED, ApiError("TIMEOUT", "The answer was stopped."))
    except LlmError as error:
        await _end(run, Outcome.FAILED, ApiError(error.code, str(error)))
    except Exception as error:  # noqa: BLE001 - told to the visitor, recorded in the row, and logged
        await _end(run, Outcome.FAILED, as_api_error(error))


async def _end(run: Run, outcome: str, error: ApiError) -> None:
    """Record an answer that did not come to its end: what was said is stored and billed as said."""
    run.tape.task = None  # from here on there is nothing to stop
    run.result.outcome, run.result.error_code = outcome, error.code
    await log.save(run)
    if not run.result.billed:
        await limits.withdraw(run.question.client, run.question.admission)
    run.tape.append(Event("error", error_data(error, run.trace_id)))


def _interrupted() -> ApiError:
    return ApiError("SERVICE_UNAVAILABLE", "The answer was interrupted. Please ask again.")


def error_data(error: ApiError, trace_id: uuid.UUID) -> dict[str, str]:
    """The contract's `error` event."""
    return {"code": error.code, "message": error.message, "traceId": str(trace_id)}


def opening(tape: Tape) -> Event:
    """The contract's `start` event."""
    token = session_token(tape.client_id, tape.session_id)
    data = {"traceId": str(tape.trace_id), "sessionId": str(tape.session_id), "sessionToken": token}
    return Event("start", data)


def _told(question: Question, person: str) -> Tape:
    """The tape of a message that a person will answer."""
    tape = tapes.make(question.client.pk, question.session_id, question.trace_id)
    tape.append(*_to_a_person(tape, person, question.text))
    tapes.forget_later(tape)
    return tape


def _to_a_person(tape: Tape, person: str, text: str) -> list[Event]:
    """A whole answer by the contract, for callers that know of no people: it says who will answer."""
    start = Event("start", {**opening(tape).data, "person": {"name": person}})
    notice = phrase("person", language_of(text)).format(name=person)
    return [start, Event("chunk", notice), *log.closing_events([], 0, 0, False)]


async def _replay(answer: Message) -> Tape:
    """The tape of an earlier answer: its own while it is kept, else one made from its row. So also where its process
    died after the row was completed, and before it had written down that the answer is whole."""
    try:
        tape = await tapes.find(answer.client_id, answer.trace_id)
    except tapes.Away:
        tape = None
    if tape is not None and (tape.whole or answer.outcome not in WHOLE):
        return tape
    tape = Tape(answer.client_id, answer.session.session_id, answer.trace_id)
    if answer.role == Message.Role.VISITOR:
        tape.append(*_to_a_person(tape, answer.person, answer.text))
        return tape
    tape.append(opening(tape))
    if answer.text:
        tape.append(Event("chunk", answer.text))
    if answer.outcome == Outcome.RUNNING:
        error = ApiError("SERVICE_UNAVAILABLE", "The answer is still being written. Please try again in a moment.")
        tape.append(Event("error", error_data(error, tape.trace_id)))
    elif answer.outcome == Outcome.CANCELLED:
        tape.append(Event("error", error_data(ApiError("TIMEOUT", "The answer was stopped."), tape.trace_id)))
    else:
        tape.append(*log.closing_events(answer.sources, answer.prompt_tokens, answer.completion_tokens, answer.cached))
    return tape
