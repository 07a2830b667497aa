"""Where tapes are found: in this process, or, through Redis, in another one.

With REDIS_URL every event is written to a Redis stream before any follower sees it, so any server process can
follow the answer. One task an event loop writes for all answers, and one reads for all followers of answers made
elsewhere: two connections, however many visitors. Without Redis, or while it is away, a tape lives in its process.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from django.conf import settings
from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from chat import background
from chat.tape import KEEP_SECONDS, Event, Tape

log = structlog.get_logger(__name__)

PROCESS = uuid.uuid4().hex
HEARTBEAT = 2.0  # seconds between signs of life
DEAD_AFTER = 6.0  # seconds without one
DEADLINE = 1.0  # seconds for one step of Redis
TICK = 0.004  # seconds between two writes: pieces of many answers go out together
REST = 1.0  # seconds to leave a failed Redis alone
BLOCK_MS = 200  # how long a follower from elsewhere may wait to be read along with the others
LOST_AFTER = 8.0  # seconds without Redis until followers of answers made elsewhere are told
KEEP_TAPES = 2_000  # finished tapes in memory, about 10 KB each
ERASED = "tapes:erased"  # sorted by time: answers that visitors had erased
Id = tuple[uuid.UUID, uuid.UUID]  # of the client, of the answer: callers may choose the latter
FAILURES = (RedisError, OSError, TimeoutError)


def make(client_id: uuid.UUID, session_id: uuid.UUID, trace_id: uuid.UUID) -> Tape:
    """A tape for an answer that this process is going to make."""
    house = _house()
    recorder = house.recorder.note if settings.REDIS_URL else None
    tape = Tape(client_id, session_id, trace_id, recorder)
    tape.followed_elsewhere = lambda: followed_elsewhere(client_id, trace_id)
    house.tapes[client_id, trace_id] = tape
    return tape


def forget_later(tape: Tape) -> None:
    """Call when a tape is finished: it can be resumed for KEEP_SECONDS, or until many others have finished."""
    house = _house()
    house.finished.append((time.monotonic(), tape))
    while house.finished and (
        len(house.finished) > KEEP_TAPES or house.finished[0][0] < time.monotonic() - KEEP_SECONDS
    ):
        _, old = house.finished.pop(0)
        if house.tapes.get((old.client_id, old.trace_id)) is old:
            del house.tapes[old.client_id, old.trace_id]


async def find(client_id: uuid.UUID, trace_id: uuid.UUID) -> Tape | None:
    """The tape of an answer of this process or another. Whose it is, the caller of this function checks."""
    house = _house()
    tape = house.tapes.get((client_id, trace_id)) or house.reader.mirror(client_id, trace_id)
    if tape is not None or not settings.REDIS_URL:
        return tape
    try:
        record = await read(client_id, trace_id)
    except FAILURES:
        return None
    return house.reader.follow(record) if record else None


class Incomplete(Exception):
    """Redis has lost a part of an answer."""


class Record:
    """What Redis holds of an answer."""

    def __init__(self, client_id: uuid.UUID, trace_id: uuid.UUID, entries: list[tuple[bytes, dict[bytes, bytes]]]):
        self.client_id, self.trace_id = client_id, trace_id
        first = entries[0][1]
        self.owner = first[b"owner"].decode()
        self.session_id = uuid.UUID(first[b"session"].decode())
        self.last_id = entries[-1][0]
        self.events: list[Event] = []
        for entry_id, fields in entries:
            self.events += _new_events(len(self.events), entry_id, fields)
        self.note: dict[str, Any] = {}
        for _, fields in entries:
            self.note |= json.loads(fields.get(b"note", b"{}"))

    @property
    def text(self) -> str:
        return "".join(event.data for event in self.events if event.name == "chunk")


async def read(client_id: uuid.UUID, trace_id: uuid.UUID) -> Record | None:
    """What Redis holds of an answer now; None where its beginning was flushed. Raises one of FAILURES."""
    async with asyncio.timeout(DEADLINE):
        entries: Any = await _house().redis().xrange(_key(client_id, trace_id))
    try:
        return Record(client_id, trace_id, entries) if entries and b"owner" in entries[0][1] else None
    except Incomplete:
        return None


async def is_alive(owner: str) -> bool:
    """Did the process `owner` give a sign of life lately? Raises one of FAILURES."""
    async with asyncio.timeout(DEADLINE):
        return owner == PROCESS or bool(await _house().redis().exists(_alive(owner)))


async def conclude(record: Record, event: Event) -> None:
    """Write the final event of an answer whose process died; one who was quicker wins. Raises one of FAILURES."""
    async with asyncio.timeout(DEADLINE):
        try:
            await (
                _house()
                .redis()
                .xadd(
                    _key(record.client_id, record.trace_id),
                    _fields([event]),
                    id=_id(len(record.events) + 1),
                    nomkstream=True,
                )
            )
        except ResponseError:
            return


async def discard(client_id: uuid.UUID, trace_id: uuid.UUID) -> None:
    """Forget the record of an answer that is made anew."""
    house = _house()
    house.tapes.pop((client_id, trace_id), None)
    house.reader.drop((client_id, trace_id))
    if settings.REDIS_URL:
        try:
            async with asyncio.timeout(DEADLINE):
                await house.redis().delete(_key(client_id, trace_id))
        except FAILURES:
            log.warning("an old record of an answer could not be removed")


async def erase(client_id: uuid.UUID, trace_ids: Iterable[uuid.UUID]) -> None:
    """Forget these answers, stop those that are being written, and have other processes do so within HEARTBEAT
    seconds; what they still say is written nowhere. Raises one of FAILURES."""
    ids = [(client_id, trace_id) for trace_id in trace_ids]
    for id in ids:
        _forget(id)
    if settings.REDIS_URL and ids:
        async with asyncio.timeout(DEADLINE):
            pipe = _house().redis().pipeline(transaction=False)
            pipe.zadd(ERASED, {_member(*id): time.time() for id in ids})
            pipe.expire(ERASED, int(settings.LLM_TOTAL_TIMEOUT) + KEEP_SECONDS)
            pipe.delete(*(key for id in ids for key in (_key(*id), _followed(*id))))
            await pipe.execute()


async def erased(client_id: uuid.UUID, trace_id: uuid.UUID) -> bool:
    """Has the visitor had this answer erased? Raises one of FAILURES."""
    return await _house().redis().zscore(ERASED, _member(client_id, trace_id)) is not None


async def recorded(client_id: uuid.UUID, trace_ids: Iterable[uuid.UUID]) -> int:
    """How many of these answers are still remembered, here or in Redis. Raises one of FAILURES."""
    ids = [(client_id, trace_id) for trace_id in trace_ids]
    here = sum(id in _house().tapes for id in ids)
    if not settings.REDIS_URL or not ids:
        return here
    async with asyncio.timeout(DEADLINE):
        return max(here, await _house().redis().exists(*(_key(*id) for id in ids)))


async def honour_erasures() -> None:
    """Forget what was erased in another process."""
    house = _house()
    if not settings.REDIS_URL or not (house.tapes or house.reader.mirrors):
        return
    try:
        async with asyncio.timeout(DEADLINE):
            recent: Any = await house.redis().zrangebyscore(ERASED, time.time() - KEEP_SECONDS, "+inf")
    except FAILURES:
        return
    for member in recent:
        client_id, _, trace_id = member.decode().partition(":")
        _forget((uuid.UUID(client_id), uuid.UUID(trace_id)))


def _forget(id: Id) -> None:
    house = _house()
    if tape := house.tapes.pop(id, None):
        house.recorder.forget(tape)
        house.finished = [(at, kept) for at, kept in house.finished if kept is not tape]
        tape.stop()
    if mirror := house.reader.mirrors.get(id):
        mirror.cut()
    house.reader.drop(id)


async def followed_elsewhere(client_id: uuid.UUID, trace_id: uuid.UUID) -> bool:
    """Does a follower in another process read along?"""
    if not settings.REDIS_URL:
        return False
    try:
        async with asyncio.timeout(DEADLINE):
            return bool(await _house().redis().exists(_followed(client_id, trace_id)))
    except FAILURES:
        return False


async def beat() -> None:
    """Give the sign of life that others judge this process by."""
    if settings.REDIS_URL:
        try:
            async with asyncio.timeout(DEADLINE):
                await _house().redis().set(_alive(PROCESS), 1, px=int(DEAD_AFTER * 1000))
        except FAILURES as error:
            log.warning("no sign of life could be given", error=type(error).__name__)


class Recorder:
    """Writes what is new on this loop's tapes to Redis, in one round trip for all of them, and then shows it."""

    def __init__(self, house: "House"):
        self._house = house
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

    async def _run(self) -> None:
        while grown := [(tape, len(tape.events)) for tape, done in self._written.items() if done < len(tape.events)]:
            try:
                async with asyncio.timeout(DEADLINE):
                    await self._write(grown)
            except FAILURES as error:
                log.warning("answers can't be resumed elsewhere: Redis is away", error=type(error).__name__)
                self._resting_until = time.monotonic() + REST
                self._show(grown)
                self._drop_old()
                await asyncio.sleep(REST)
                continue
            for tape, count in grown:
                if tape not in self._written:
                    continue  # erased meanwhile
                if tape.finished and count == len(tape.events):
                    del self._written[tape]
                else:
                    self._written[tape] = count
            self._show(grown)
            await asyncio.sleep(TICK)

    async def _write(self, grown: Iterable[tuple[Tape, int]]) -> None:
        pipe = self._house.redis().pipeline(transaction=False)
        for tape, count in grown:
            done = self._written[tape]
            fields = _fields(tape.events[done:count])
            if not done:
                fields |= {"owner": PROCESS, "session": str(tape.session_id)}
            if tape.note:
                fields["note"], tape.note = json.dumps(tape.note), {}
            # What was removed meanwhile (erased, flushed) is not begun again in its middle.
            pipe.xadd(_key(tape.client_id, tape.trace_id), fields, id=_id(count), nomkstream=bool(done))
            if not done or tape.finished:
                pipe.expire(_key(tape.client_id, tape.trace_id), int(settings.LLM_TOTAL_TIMEOUT) + KEEP_SECONDS)
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


class Reader:
    """Follows answers made by other processes: a mirror of each, all read by one blocking call."""

    def __init__(self, house: "House"):
        self._house = house
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
            except FAILURES as error:
                log.warning("answers made elsewhere can't be followed", error=type(error).__name__)
                if time.monotonic() - answered > LOST_AFTER:
                    self._give_up(list(self.mirrors))
                await asyncio.sleep(REST)

    async def _read_on(self) -> None:
        places: dict[Any, Any] = {_key(*id): record.last_id for id, record in self._records.items()}
        async with asyncio.timeout(DEADLINE + BLOCK_MS / 1000):
            replies: Any = await self._house.redis().xread(places, block=BLOCK_MS)
        for key, entries in replies or []:
            _, client_id, trace_id = key.decode().split(":")
            id = uuid.UUID(client_id), uuid.UUID(trace_id)
            if id not in self.mirrors:
                continue
            self._records[id].last_id = entries[-1][0]
            for entry_id, fields in entries:
                self._add(self.mirrors[id], entry_id, fields)
            if self.mirrors[id].finished:
                self.drop(id)

    def _add(self, mirror: Tape, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        """What an entry has that the mirror has not; a mirror that is younger than this reading has some already."""
        try:
            mirror.append(*_new_events(len(mirror.events), entry_id, fields))
        except Incomplete:
            mirror.append(interrupted(mirror.trace_id))

    async def _tell_owners(self) -> None:
        """Tell that somebody follows here, and ask who still lives; what a dead process left is closed."""
        if not self._records:
            return
        owners = sorted({record.owner for record in self._records.values()})
        async with asyncio.timeout(DEADLINE):
            pipe = self._house.redis().pipeline(transaction=False)
            for id in self.mirrors:
                pipe.set(_followed(*id), 1, px=int(3 * HEARTBEAT * 1000))
            pipe.mget([_alive(owner) for owner in owners])
            alive = dict(zip(owners, (await pipe.execute())[-1], strict=True))
        for id in [id for id, record in self._records.items() if not alive[record.owner]]:
            if not await close_dead(*id):
                self._give_up([id])

    def _give_up(self, ids: Iterable[Id]) -> None:
        for id in ids:
            self.mirrors[id].append(interrupted(id[1]))
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


# Completes the row and the record of an answer whose process died; chat/sweeper.py sets it.
close_dead: Callable[[uuid.UUID, uuid.UUID], Awaitable[bool]] = _nobody_closes


class House:
    """What one event loop has: its tapes, its client of Redis, its two tasks."""

    def __init__(self) -> None:
        self.tapes: dict[Id, Tape] = {}
        self.finished: list[tuple[float, Tape]] = []
        self.recorder, self.reader = Recorder(self), Reader(self)
        self._redis: tuple[str, redis.Redis] | None = None

    def redis(self) -> redis.Redis:
        """This loop's client, with connections of its own: a blocking read must not take one from the limits."""
        if self._redis is None or self._redis[0] != settings.REDIS_URL:
            pool = redis.BlockingConnectionPool.from_url(
                settings.REDIS_URL,
                max_connections=16,
                timeout=DEADLINE,
                socket_connect_timeout=DEADLINE,
                retry=Retry(NoBackoff(), 0),
            )
            self._redis = settings.REDIS_URL, redis.Redis(connection_pool=pool)
        return self._redis[1]


_houses: WeakKeyDictionary[asyncio.AbstractEventLoop, House] = WeakKeyDictionary()


def _house() -> House:
    loop = asyncio.get_running_loop()
    if loop not in _houses:
        _houses[loop] = House()
    return _houses[loop]


def redis_client() -> redis.Redis:
    """This event loop's client of Redis."""
    return _house().redis()


def kept(client_id: uuid.UUID, trace_id: uuid.UUID) -> Tape | None:
    """This process's own tape of an answer."""
    return _house().tapes.get((client_id, trace_id))


def running() -> list[Tape]:
    """This process's unfinished tapes."""
    return [tape for tape in _house().tapes.values() if not tape.finished]


def forget_client(client_id: uuid.UUID) -> None:
    """Stop this loop's answers of a client that is being erased, and forget them."""
    house = _house()
    for id in [id for id in (*house.tapes, *house.reader.mirrors) if id[0] == client_id]:
        _forget(id)


def stop_mirroring() -> None:
    """End this process's followers of answers made elsewhere, without a final event: they resume elsewhere."""
    reader = _house().reader
    for id, mirror in list(reader.mirrors.items()):
        mirror.cut()
        reader.drop(id)


def interrupted(trace_id: uuid.UUID) -> Event:
    """What the followers of an answer are told when the process that made it died."""
    message = "The answer was interrupted. Please ask again."
    return Event("error", {"code": "SERVICE_UNAVAILABLE", "message": message, "traceId": str(trace_id)})


def _fields(events: list[Event]) -> dict[Any, Any]:
    return {"events": json.dumps([[event.name, event.data] for event in events])}


def _events(fields: dict[bytes, bytes]) -> list[Event]:
    return [Event(name, data) for name, data in json.loads(fields[b"events"])]


def _new_events(known: int, entry_id: bytes, fields: dict[bytes, bytes]) -> list[Event]:
    """The events of an entry after the one numbered `known`. An entry may repeat the end of the one before it: its
    writer wrote that one, but did not hear so in time."""
    events, last = _events(fields), int(entry_id.partition(b"-")[0])
    missing = last - known
    if missing > len(events):
        raise Incomplete
    return events[-missing:] if missing > 0 else []


def _id(last: int) -> str:
    """An entry's id is the number of its last event, so that nothing is ever written twice."""
    return f"{last}-0"


def _key(client_id: uuid.UUID, trace_id: uuid.UUID) -> str:
    return f"tape:{client_id}:{trace_id}"


def _alive(owner: str) -> str:
    return f"alive:{owner}"


def _member(client_id: uuid.UUID, trace_id: uuid.UUID) -> str:
    return f"{client_id}:{trace_id}"


def _followed(client_id: uuid.UUID, trace_id: uuid.UUID) -> str:
    return f"followed:{client_id}:{trace_id}"
