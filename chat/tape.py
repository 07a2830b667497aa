"""The record of each running answer: every event is appended before any door sends it.

Followers read from any event on, so a cut connection resumes without a gap, and two tabs may follow one answer.
When the last follower has been gone for `ABANDONED_SECONDS`, the answer is cancelled: nobody pays for words that
nobody reads. Tapes live in this process; they are forgotten a while after their end.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

KEEP_SECONDS = 600


@dataclass(frozen=True)
class Event:
    """`data` is text for `chunk` and `done`, else what the contract's JSON holds."""

    name: str  # start, chunk, sources, usage, done, error
    data: Any


FINAL = ("done", "error")


class Tape:
    """The events of one answer, numbered from 1, and who follows them."""

    def __init__(self, client_id: uuid.UUID, session_id: uuid.UUID, trace_id: uuid.UUID):
        self.client_id, self.session_id, self.trace_id = client_id, session_id, trace_id
        self.task: asyncio.Task | None = None
        self._events: list[Event] = []
        self._grown = asyncio.Event()
        self._followers = 0
        _tapes[trace_id] = self

    @property
    def finished(self) -> bool:
        return bool(self._events) and self._events[-1].name in FINAL

    def append(self, event: Event) -> None:
        """Record an event and wake the followers."""
        self._events.append(event)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        if event.name in FINAL:
            asyncio.get_running_loop().call_later(KEEP_SECONDS, _tapes.pop, self.trace_id, None)

    async def follow(self, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """The events numbered above `after`, then new ones as they come, to the final one."""
        self._followers += 1
        try:
            while True:
                grown = self._grown
                while after < len(self._events):
                    event = self._events[after]
                    after += 1
                    yield after, event
                    if event.name in FINAL:
                        return
                await grown.wait()
        finally:
            self._followers -= 1
            if not self._followers and not self.finished:
                asyncio.get_running_loop().call_later(settings.ABANDONED_SECONDS, self._stop_if_abandoned)

    def stop(self) -> None:
        """Cancel the answer; what was produced is stored and billed as produced."""
        if self.task is not None:
            self.task.cancel()

    def _stop_if_abandoned(self) -> None:
        if not self._followers:
            self.stop()


_tapes: dict[uuid.UUID, Tape] = {}


def get(trace_id: uuid.UUID) -> Tape | None:
    """The tape of an answer, if this process has it. Whose it is, the caller of this function checks."""
    return _tapes.get(trace_id)
