"""The record of one answer: every event is on it before any door sends it.

Followers read from any event on, so a cut connection resumes without a gap, and two tabs may follow one answer.
When the last follower has been gone for ABANDONED_SECONDS, the answer is stopped: nobody pays for words that
nobody reads.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

KEEP_SECONDS = 600  # after its end an answer can be resumed for so long
TURN = 0.02  # seconds in which who is about to follow gets there, should this event loop have been held up


@dataclass(frozen=True, slots=True)
class Event:
    """`data` is text for `chunk` and `done`, else what the contract's JSON holds."""

    name: str  # start, chunk, sources, usage, done, error
    data: Any

    @property
    def final(self) -> bool:
        return self.name in ("done", "error")


class Tape:
    """The events of one answer, numbered from 1, and who follows them.

    With a `recorder`, an event is shown to followers only after the recorder has written it down.
    """

    def __init__(
        self,
        client_id: uuid.UUID,
        session_id: uuid.UUID,
        trace_id: uuid.UUID,
        recorder: Callable[["Tape"], None] | None = None,
        anew: bool = False,
    ):
        self.client_id, self.session_id, self.trace_id = client_id, session_id, trace_id
        self.anew = anew  # it takes the place of an earlier record
        self.events: list[Event] = []
        self.note: dict[str, Any] = {}  # what a bill needs to know should this process die
        self.noted_at = 0  # how many events there were then: the next one is written down together with the note
        self.task: asyncio.Task | None = None  # what produces the answer, as long as it can be stopped
        self.followed_elsewhere: Callable[[], Awaitable[bool]] | None = None
        self._recorder = recorder
        self._shown = 0
        self._cut = False
        self._waiters: list[asyncio.Future[None]] = []
        self._followers = 0
        self._left_at = 0.0  # when the last follower left; time.monotonic()
        self._leaving: asyncio.Task | None = None

    @property
    def finished(self) -> bool:
        return bool(self.events) and self.events[-1].final

    @property
    def whole(self) -> bool:
        return self.finished and self.events[-1].name == "done"

    @property
    def failed(self) -> bool:
        """It ended, and not well: it may be made anew, here or in another process."""
        return self.finished and not self.whole

    @property
    def followed(self) -> bool:
        return self._followers > 0

    def append(self, *events: Event) -> None:
        """Record events; followers get them as soon as they are written down. Nothing comes after a final one."""
        if self.finished:
            return
        self.events += events
        if self._recorder is None:
            self.show(len(self.events))
        else:
            self._recorder(self)

    def annotate(self, note: dict[str, Any]) -> None:
        """Keep what a bill needs to know should this process die."""
        self.note, self.noted_at = note, len(self.events)

    def show(self, count: int) -> None:
        """Let followers see the first `count` events."""
        if count <= self._shown:
            return
        self._shown = count
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _wake(waiter)

    def detach(self) -> None:
        """Write nothing down from here on: the visitor has had it erased."""
        self._recorder = None

    def cut(self) -> None:
        """End every follower where it is, without a final event."""
        self._cut = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _wake(waiter)

    async def follow(self, after: int = 0, patience: float = 3600) -> AsyncGenerator[tuple[int, list[Event]]]:
        """(number of the first, events): what comes after the event numbered `after`, to the final one, in as few
        parts as there are. An empty part means `patience` seconds of silence."""
        bell = _Bell(patience)
        self._followers += 1
        try:
            while not (self._cut or (after >= len(self.events) == self._shown and self.finished)):
                if after < self._shown:
                    part = self.events[after : self._shown]
                    first, after = after + 1, self._shown
                    yield first, part
                    continue
                waiter = bell.waiter()
                self._waiters.append(waiter)
                shown = self._shown
                await waiter
                if shown == self._shown and not self.finished and not self._cut:
                    yield after + 1, []
        finally:
            bell.stop()
            self._followers -= 1
            self.expect_followers()

    def expect_followers(self, grace: float = 0.0) -> None:
        """Stop the answer if ABANDONED_SECONDS, and `grace` more, pass with nobody there."""
        self._left_at = time.monotonic() + grace
        if not self.followed and not self.finished and self._leaving is None and self.task is not None:
            self._leaving = asyncio.create_task(self._stop_when_abandoned())

    def stop(self) -> None:
        """Stop the answer while it can be stopped; what was produced is stored and billed as produced."""
        if self.task is not None:
            self.task.cancel()

    async def _stop_when_abandoned(self) -> None:
        try:
            await asyncio.sleep(TURN)
            while not (self.followed or self.finished):
                wait = self._left_at + settings.ABANDONED_SECONDS - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                elif self.followed_elsewhere is not None and await self.followed_elsewhere():
                    await asyncio.sleep(1)
                else:
                    return self.stop()
        finally:
            self._leaving = None


class _Bell:
    """Wakes one follower out of too long a silence. Its timer is set once and looks again when it rings: setting one
    for each piece would leave thousands of cancelled ones in the event loop."""

    def __init__(self, patience: float):
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._since = self._loop.time()
        self._waiter: asyncio.Future[None] | None = None
        self._timer = self._loop.call_later(patience, self._ring)

    def waiter(self) -> "asyncio.Future[None]":
        """What to wait for from now on; it ends after `patience` seconds at the latest."""
        self._since = self._loop.time()
        self._waiter = self._loop.create_future()
        return self._waiter

    def stop(self) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        due = self._since + self._patience
        if due <= self._loop.time():
            if self._waiter is not None:  # else who follows has not waited yet: it is still taking the first part
                _wake(self._waiter)
            due = self._loop.time() + self._patience
        self._timer = self._loop.call_at(due, self._ring)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
