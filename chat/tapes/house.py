"""What one event loop has: its own tapes, and its two tasks with Redis."""

import asyncio
import time
import uuid
from collections import deque
from weakref import WeakKeyDictionary

from django.conf import settings

from chat.tape import KEEP_SECONDS, Tape
from chat.tapes import records
from chat.tapes.connection import Away
from chat.tapes.reader import Reader
from chat.tapes.recorder import KEEP_TAPES, Recorder
from chat.tapes.records import Id


class House:
    """The tapes of an event loop's answers, and who writes and reads for them."""

    def __init__(self) -> None:
        self.tapes: dict[Id, Tape] = {}
        self.finished: deque[tuple[float, Tape]] = deque()
        self.recorder, self.reader = Recorder(), Reader()

    def drop_finished(self, tape: Tape) -> None:
        """Keep it no longer for those who resume."""
        self.finished = deque((at, kept) for at, kept in self.finished if kept is not tape)


_houses: WeakKeyDictionary[asyncio.AbstractEventLoop, House] = WeakKeyDictionary()


def house() -> House:
    """The running event loop's."""
    loop = asyncio.get_running_loop()
    if loop not in _houses:
        _houses[loop] = House()
    return _houses[loop]


def make(client_id: uuid.UUID, session_id: uuid.UUID, trace_id: uuid.UUID, *, anew: bool = False) -> Tape:
    """A tape for an answer that this process is going to make; `anew`: an earlier record of it is forgotten."""
    house().reader.drop((client_id, trace_id))
    recorder = house().recorder.note if settings.REDIS_URL else None
    tape = Tape(client_id, session_id, trace_id, recorder, anew=anew)
    tape.followed_elsewhere = lambda: records.followed_elsewhere(client_id, trace_id)
    house().tapes[client_id, trace_id] = tape
    return tape


def forget_later(tape: Tape) -> None:
    """Call when a tape is finished: it can be resumed for KEEP_SECONDS, or until many others have finished."""
    tapes, finished = house().tapes, house().finished
    finished.append((time.monotonic(), tape))
    while finished and (len(finished) > KEEP_TAPES or finished[0][0] < time.monotonic() - KEEP_SECONDS):
        _, old = finished.popleft()
        if tapes.get((old.client_id, old.trace_id)) is old:
            del tapes[old.client_id, old.trace_id]


async def find(client_id: uuid.UUID, trace_id: uuid.UUID) -> Tape | None:
    """The tape of an answer of this process or another. Whose it is, the caller of this function checks. Raises Away
    where it may be another process's, and Redis can't say."""
    own = kept(client_id, trace_id)
    if own is not None and not (settings.REDIS_URL and own.failed):
        return own
    if mirror := house().reader.mirror(client_id, trace_id):
        return mirror
    if not settings.REDIS_URL:
        return None
    try:
        record = await records.read(client_id, trace_id)
    except Away:
        if own is not None:
            return own
        raise
    if record is None or (own is not None and record.owner == records.PROCESS):
        return own
    if not record.events[-1].final:
        await records.tell_owner(client_id, trace_id)  # at once: it may be about to stop
    return house().reader.follow(record)  # not the failed one here: another process has made the answer anew


def kept(client_id: uuid.UUID, trace_id: uuid.UUID) -> Tape | None:
    """This process's own tape of an answer."""
    return house().tapes.get((client_id, trace_id))


def running() -> list[Tape]:
    """This process's unfinished tapes."""
    return [tape for tape in house().tapes.values() if not tape.finished]


async def settle(seconds: float) -> None:
    """Wait until all that was said here is written down and shown, `seconds` at most."""
    await house().recorder.settle(seconds)


def stop_mirroring() -> None:
    """End this process's followers of answers made elsewhere, without a final event: they resume elsewhere."""
    reader = house().reader
    for id, mirror in list(reader.mirrors.items()):
        mirror.cut()
        reader.drop(id)
