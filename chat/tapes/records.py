"""What Redis holds of answers: a stream of events for each, and signs of life of who makes and who follows them."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import structlog
from django.conf import settings

from chat.tape import Event
from chat.tapes.connection import Away, step

log = structlog.get_logger(__name__)

PROCESS = uuid.uuid4().hex
HEARTBEAT = 2.0  # seconds between signs of life
DEAD_AFTER = 6.0  # seconds without one
Id = tuple[uuid.UUID, uuid.UUID]  # of the client, of the answer: callers may choose the latter


class Incomplete(Exception):
    """Redis has lost a part of an answer."""


class Record:
    """What Redis holds of one answer."""

    def __init__(self, client_id: uuid.UUID, trace_id: uuid.UUID, entries: list[tuple[bytes, dict[bytes, bytes]]]):
        self.client_id, self.trace_id = client_id, trace_id
        first = entries[0][1]
        self.owner = first[b"owner"].decode()
        self.session_id = uuid.UUID(first[b"session"].decode())
        self.last_id = entries[-1][0]
        self.events: list[Event] = []
        for number, fields in entries:
            self.events += new_events(len(self.events), number, fields)
        self.note: dict[str, Any] = {}
        for _, fields in entries:
            self.note |= json.loads(fields.get(b"note", b"{}"))

    @property
    def text(self) -> str:
        return "".join(event.data for event in self.events if event.name == "chunk")


async def read(client_id: uuid.UUID, trace_id: uuid.UUID) -> Record | None:
    """What Redis holds of an answer now; None where its beginning was flushed. Raises Away."""
    async with step() as redis:
        entries: Any = await redis.xrange(key_of(client_id, trace_id))
    try:
        return Record(client_id, trace_id, entries) if entries and b"owner" in entries[0][1] else None
    except Incomplete:
        return None


async def is_alive(owner: str) -> bool:
    """Did the process `owner` give a sign of life lately? Raises Away."""
    async with step() as redis:
        return owner == PROCESS or bool(await redis.exists(alive(owner)))


async def conclude(record: Record, event: Event) -> None:
    """Write the final event of an answer whose process died; one who was quicker wins. Raises Away."""
    from redis.exceptions import ResponseError

    key, number = key_of(record.client_id, record.trace_id), entry_id(len(record.events) + 1)
    async with step() as redis:
        try:
            await redis.xadd(key, fields_of([event]), id=number, nomkstream=True)
        except ResponseError:
            return


async def beat() -> None:
    """Give the sign of life that others judge this process by."""
    if settings.REDIS_URL:
        try:
            async with step() as redis:
                await redis.set(alive(PROCESS), 1, px=int(DEAD_AFTER * 1000))
        except Away as error:
            log.warning("no sign of life could be given", error=str(error))


async def tell_owner(client_id: uuid.UUID, trace_id: uuid.UUID) -> None:
    """Tell the process that makes an answer that somebody follows it here. Raises Away."""
    async with step() as redis:
        await redis.set(followed(client_id, trace_id), 1, px=followed_ms())


async def followed_elsewhere(client_id: uuid.UUID, trace_id: uuid.UUID) -> bool:
    """Does a follower in another process read along?"""
    if not settings.REDIS_URL:
        return False
    try:
        async with step() as redis:
            return bool(await redis.exists(followed(client_id, trace_id)))
    except Away:
        return False


def interrupted(trace_id: uuid.UUID) -> Event:
    """What the followers of an answer are told when the process that made it died."""
    message = "The answer was interrupted. Please ask again."
    return Event("error", {"code": "SERVICE_UNAVAILABLE", "message": message, "traceId": str(trace_id)})


def fields_of(events: list[Event]) -> dict[Any, Any]:
    """An entry's fields."""
    return {"events": json.dumps([[event.name, event.data] for event in events])}


def new_events(known: int, number: bytes, fields: Mapping[bytes, bytes]) -> list[Event]:
    """The events after the one numbered `known` of the entry with this id. An entry may repeat the end of the one
    before it: its writer wrote that one, but did not hear so in time."""
    events = [Event(name, data) for name, data in json.loads(fields[b"events"])]
    missing = int(number.partition(b"-")[0]) - known
    if missing > len(events):
        raise Incomplete
    return events[-missing:] if missing > 0 else []


def entry_id(last: int) -> str:
    """An entry's id is the number of its last event, so that nothing is ever written twice."""
    return f"{last}-0"


def key_of(client_id: uuid.UUID, trace_id: uuid.UUID) -> str:
    return f"tape:{client_id}:{trace_id}"


def id_of(key: bytes) -> Id:
    _, client_id, trace_id = key.decode().split(":")
    return uuid.UUID(client_id), uuid.UUID(trace_id)


def alive(owner: str) -> str:
    return f"alive:{owner}"


def followed(client_id: uuid.UUID, trace_id: uuid.UUID) -> str:
    return f"followed:{client_id}:{trace_id}"


def followed_ms() -> int:
    """How long the word that somebody follows elsewhere is good for: until that follower has been gone for
    ABANDONED_SECONDS, and while it is there over two heartbeats."""
    return int(max(3 * HEARTBEAT, settings.ABANDONED_SECONDS + 2 * HEARTBEAT) * 1000)
