"""Reads along with answers that other processes make."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from django.conf import settings

from chat import background
from chat.tape import Tape
from chat.tapes.connection import DEADLINE, Away, step
from chat.tapes.records import (
    HEARTBEAT,
    Id,
    Incomplete,
    Record,
    alive,
    followed,
    followed_ms,
    id_of,
    interrupted,
    key_of,
    new_events,
)

log = structlog.get_logger(__name__)

REST = 1.0  # seconds to leave a failed Redis alone
LOOK_SECONDS = 0.05  # between two looks at a cluster
BLOCK_MS = 200  # how long a follower from elsewhere may wait to be read along with the others
LOST_AFTER = 8.0  # seconds without Redis until followers of answers made elsewhere are told

Close = Callable[[uuid.UUID, uuid.UUID], Awaitable[bool]]


class Reader:
    """Follows answers made by other processes: a mirror of each, all read by one blocking call."""

    def __init__(self) -> None:
        self.mirrors: dict[Id, Tape] = {}
        self._records: dict[Id, Record] = {}
        self._found: dict[Id, float] = {}  # when somebody last asked for it
        self._task: asyncio.Task | None = None

    def mirror(self, client_id: uuid.UUID, trace_id: uuid.UUID) -> Tape | None:
        """The mirror that somebody follows already."""
        if (client_id, trace_id) in self.mirrors:
            self._found[client_id, trace_id] = time.monotonic()
        return self.mirrors.get((client_id, trace_id))

    def follow(self, record: Record) -> Tape:
        """The mirror of an answer; it goes when nobody follows it any more."""
        id = record.client_id, record.trace_id
        self._found[id] = time.monotonic()
        if mirror := self.mirrors.get(id):
            return mirror
        mirror = Tape(record.client_id, record.session_id, record.trace_id)
        mirror.append(*record.events)
        if mirror.finished:
            del self._found[id]
        else:
            self.mirrors[id], self._records[id] = mirror, record
            if self._task is None or self._task.done():
                self._task = background.start(self._run())
        return mirror

    async def _run(self) -> None:
        checked = answered = time.monotonic()
        while self.mirrors:
            try:
                await self._read_on()
                now = answered = time.monotonic()
                if now - checked > HEARTBEAT:
                    checked = now
                    self._drop_unfollowed()
                    await self._tell_owners()
            except Away as error:
                log.warning("answers made elsewhere can't be followed", error=str(error))
                if time.monotonic() - answered > LOST_AFTER:
                    self._give_up(list(self.mirrors))
                await asyncio.sleep(REST)

    async def _read_on(self) -> None:
        for id, entries in await (self._look() if settings.REDIS_CLUSTER else self._wait()):
            if id not in self.mirrors:
                continue
            self._records[id].last_id = entries[-1][0]
            for entry_id, fields in entries:
                self._add(self.mirrors[id], entry_id, fields)
            if self.mirrors[id].finished:
                self.drop(id)

    async def _wait(self) -> list[tuple[Id, Any]]:
        """New entries of each tape, as soon as one has any."""
        places: dict[Any, Any] = {key_of(*id): record.last_id for id, record in self._records.items()}
        async with step(DEADLINE + BLOCK_MS / 1000) as redis:
            replies: Any = await redis.xread(places, block=BLOCK_MS)
        return [(id_of(key), entries) for key, entries in replies or []]

    async def _look(self) -> list[tuple[Id, Any]]:
        """The same on a cluster, where nobody can wait for keys of several slots: everybody looks now and then."""
        await asyncio.sleep(LOOK_SECONDS)
        ids = list(self._records)
        async with step() as redis:
            pipe = redis.pipeline(transaction=False)
            for id in ids:
                pipe.xrange(key_of(*id), min=b"(" + self._records[id].last_id)
            replies = await pipe.execute()
        return [(id, entries) for id, entries in zip(ids, replies, strict=True) if entries]

    def _add(self, mirror: Tape, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        """What an entry has that the mirror has not; a mirror that is younger than this reading has some already."""
        try:
            mirror.append(*new_events(len(mirror.events), entry_id, fields))
        except Incomplete:
            mirror.append(interrupted(mirror.trace_id))

    async def _tell_owners(self) -> None:
        """Tell that somebody follows here, and ask who still lives; what a dead process left is closed."""
        if not self._records:
            return
        owner_of = {id: record.owner for id, record in self._records.items()}
        owners = sorted(set(owner_of.values()))
        async with step() as redis:
            pipe = redis.pipeline(transaction=False)
            for id in owner_of:
                pipe.set(followed(*id), 1, px=followed_ms())
            for id in owner_of:
                pipe.exists(key_of(*id))
            for owner in owners:
                pipe.exists(alive(owner))
            replies = (await pipe.execute())[len(owner_of) :]
        kept = dict(zip(owner_of, replies, strict=False))
        living = dict(zip(owners, replies[len(owner_of) :], strict=True))
        self._give_up(id for id in owner_of if not kept[id])  # flushed: nothing more will come of it
        await asyncio.gather(*(self._close(id) for id, owner in owner_of.items() if kept[id] and not living[owner]))

    async def _close(self, id: Id) -> None:
        """Have what a dead process left be closed; where nobody can, its followers are told here."""
        try:
            closed = await _close(*id)
        except Exception as error:  # noqa: BLE001 - other answers are read on, whatever fails with this one
            log.warning("an answer of a dead process could not be closed", error=type(error).__name__)
            closed = False
        if not closed:
            self._give_up([id])

    def _give_up(self, ids: Iterable[Id]) -> None:
        for id in ids:
            if mirror := self.mirrors.get(id):
                mirror.append(interrupted(id[1]))
            self.drop(id)

    def _drop_unfollowed(self) -> None:
        """Whoever just found a mirror is about to follow it."""
        old = time.monotonic() - 2 * HEARTBEAT
        for id in [id for id, mirror in self.mirrors.items() if not mirror.followed and self._found[id] < old]:
            self.drop(id)

    def drop(self, id: Id) -> None:
        """Read along no longer."""
        self.mirrors.pop(id, None)
        self._records.pop(id, None)
        self._found.pop(id, None)


async def _nobody_closes(client_id: uuid.UUID, trace_id: uuid.UUID) -> bool:
    return False


_close: Close = _nobody_closes


def when_dead(close: Close) -> None:
    """Have `close` complete the row and the record of an answer whose process died; chat/sweeper.py sets it."""
    global _close
    _close = close
