"""Writes what this process's answers say to Redis, before any follower sees it."""

import asyncio
import json
import time
from collections.abc import Iterable
from typing import Any

import structlog
from django.conf import settings

from chat import background
from chat.tape import KEEP_SECONDS, Tape
from chat.tapes import connection, records

log = structlog.get_logger(__name__)

TICK = 0.004  # seconds between two writes: pieces of many answers go out together
REST = 1.0  # seconds to leave a failed Redis alone
HELD_UP = 0.1  # seconds by which a deadline was missed because this event loop, not Redis, was busy
KEEP_TAPES = 2_000  # finished tapes in memory, about 10 KB each


class Recorder:
    """Writes what is new on this loop's tapes to Redis, in one round trip for all of them, and then shows it."""

    def __init__(self) -> None:
        self._written: dict[Tape, int] = {}  # tapes with something to write, and how much of each is written
        self._task: asyncio.Task | None = None
        self._resting_until = 0.0

    def note(self, tape: Tape) -> None:
        """The tape has grown."""
        self._written.setdefault(tape, 0)
        if self._resting_until > time.monotonic():
            tape.show(len(tape.events))
        if self._task is None or self._task.done():
            self._task = background.start(self._run())

    def forget(self, tape: Tape) -> None:
        """Write nothing more of it. (A write that is under way finds its key gone, and makes no other.)"""
        tape.detach()
        self._written.pop(tape, None)

    async def settle(self, seconds: float) -> None:
        """Wait until nothing is left to write, `seconds` at most."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)

    async def _run(self) -> None:
        repeated = False
        while grown := [(tape, len(tape.events)) for tape, done in self._written.items() if done < len(tape.events)]:
            began = time.monotonic()
            try:
                async with connection.step() as redis:
                    await self._write(redis.pipeline(transaction=False), grown)
            except connection.Away as error:
                if not repeated and time.monotonic() - began > connection.DEADLINE + HELD_UP:
                    repeated = True  # once: nothing is written twice, and nothing shown that is not written
                    continue
                log.warning("answers can't be resumed elsewhere: Redis is away", error=str(error))
                self._resting_until = time.monotonic() + REST
                self._show((tape, len(tape.events)) for tape in self._written)  # what was added meanwhile, too
                self._drop_old()
                await asyncio.sleep(REST)
                continue
            repeated = False
            for tape, count in grown:
                if tape not in self._written:
                    continue  # erased meanwhile
                if tape.finished and count == len(tape.events):
                    del self._written[tape]
                else:
                    self._written[tape] = count
            self._show(grown)
            await asyncio.sleep(TICK)

    async def _write(self, pipe: Any, grown: Iterable[tuple[Tape, int]]) -> None:
        from redis.exceptions import ResponseError

        for tape, count in grown:
            done, key = self._written[tape], records.key_of(tape.client_id, tape.trace_id)
            fields = records.fields_of(tape.events[done:count])
            if tape.anew and not done:
                pipe.delete(key)
            if not done:
                fields |= {"owner": records.PROCESS, "session": str(tape.session_id)}
            if tape.note and done <= tape.noted_at < count:
                fields["note"] = json.dumps(tape.note)
            # What was removed meanwhile (erased, flushed) is not begun again in its middle.
            pipe.xadd(key, fields, id=records.entry_id(count), nomkstream=bool(done))
            if not done or tape.finished:
                pipe.expire(key, int(settings.LLM_TOTAL_TIMEOUT) + KEEP_SECONDS)
        for reply in await pipe.execute(raise_on_error=False):
            if isinstance(reply, ResponseError) and "equal or smaller" in str(reply):
                continue  # written before, but the reply was lost
            if isinstance(reply, Exception):
                raise reply

    def _show(self, grown: Iterable[tuple[Tape, int]]) -> None:
        for tape, count in grown:
            tape.show(count)

    def _drop_old(self) -> None:
        """During a long outage finished answers are not kept for Redis."""
        if len(self._written) > KEEP_TAPES:
            self._written = {tape: done for tape, done in self._written.items() if not tape.finished}
