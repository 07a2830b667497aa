"""Close the answers that a killed process left open: the row gets what is known of it, and the bill too."""

import time
import uuid
from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from chat import tapes
from chat.llms import MODELS, Usage
from chat.models import Message
from chat.tape import Event
from chat.workflow import log
from chat.workflow.state import Result
from tenants.scoping import unscoped
from tenants.threads import in_thread

logger = structlog.get_logger(__name__)
Outcome = Message.Outcome
YOUNGEST = timedelta(seconds=10)  # younger answers are left alone
MARGIN = timedelta(minutes=2)  # beyond the longest answer, for all that surrounds the model
AT_ONCE = 200
CHARACTERS_A_TOKEN = 4  # an estimate, for a provider's count that died with its process
_started = time.time()


async def sweep() -> int:
    """Close every open answer that nobody writes any more; how many there were."""
    closed = 0
    for client_id, trace_id, created in await in_thread(_open_answers):
        age = timezone.now() - created
        closed += await close(client_id, trace_id, surely=abs(age) > _longest() or _from_before(created.timestamp()))
    return closed


async def close(client_id: uuid.UUID, trace_id: uuid.UUID, *, surely: bool = False) -> bool:
    """Close one answer if its process is dead; False when it lives or nobody can tell (unless `surely` dead)."""
    own = tapes.kept(client_id, trace_id)
    if own is not None and not (settings.REDIS_URL and own.failed):  # only the database was away when it ended
        return own.finished and await _complete(client_id, trace_id, _result(own.events, own.note))
    record = None  # for one that failed here may be made anew in another process
    try:
        record = await tapes.read(client_id, trace_id) if settings.REDIS_URL else None
        ended = record is not None and record.events[-1].final
        if record is not None and not (ended or surely) and await tapes.is_alive(record.owner):
            return False
    except tapes.Away:
        if not surely:
            return False
    if record is None:
        known = _result(own.events, own.note) if own else Result(outcome=Outcome.FAILED)
        return surely and await _complete(client_id, trace_id, known)
    await _complete(client_id, trace_id, _result(record.events, record.note))
    if not ended:
        await tapes.conclude(record, tapes.interrupted(trace_id))
    return True


async def _complete(client_id: uuid.UUID, trace_id: uuid.UUID, result: Result) -> bool:
    if await in_thread(log.complete, trace_id, client_id, result):
        logger.warning("closed an answer that was left open", trace_id=str(trace_id), outcome=str(result.outcome))
    return True


def _open_answers() -> list[tuple]:
    with unscoped("answers of every client may have lost their process"):
        young = Q(
            created__range=(timezone.now() - YOUNGEST, timezone.now() + YOUNGEST)
        )  # later: the clock was put back
        rows = Message.objects.filter(~young, outcome=Outcome.RUNNING)
        return list(rows.order_by("created").values_list("client_id", "trace_id", "created")[:AT_ONCE])


def _result(events: list[Event], note: dict) -> Result:
    """What the tape knows of an answer: all of it, if only its row was not written; else what was said so far."""
    found = {event.name: event.data for event in events}
    pieces = [event.data for event in events if event.name == "chunk"]
    result = Result(outcome=Outcome.ANSWERED, pieces=pieces, sources=found.get("sources", []))
    if "done" not in found:
        result.outcome, result.error_code = Outcome.FAILED, found.get("error", {}).get("code", "SERVICE_UNAVAILABLE")
    result.model = MODELS.get(note.get("model", ""))
    if "model" in note and pieces:
        counted = found.get("usage")
        prompt = counted["promptTokens"] if counted else note["promptCharacters"] // CHARACTERS_A_TOKEN
        said = counted["completionTokens"] if counted else len(result.text) // CHARACTERS_A_TOKEN
        result.usage = Usage(note["model"], prompt, said, exact=bool(counted))
    result.cached = bool(found.get("usage", {}).get("cached"))
    return result


def _longest() -> timedelta:
    return timedelta(seconds=settings.LLM_TOTAL_TIMEOUT) + MARGIN


def _from_before(created: float) -> bool:
    """Without Redis there is one process: what is older than it has no owner."""
    return not settings.REDIS_URL and created < _started


tapes.when_dead(close)
