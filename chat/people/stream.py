"""`GET /sessions/{sessionId}/events`: what a visitor hears of the client's people, as Server-Sent Events."""

import asyncio
import contextlib
import json
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

from billing import limits
from chat import door, frames, watch
from chat.consumers import FOLLOWING_HEADERS, HEARTBEAT_SECONDS, ChatDoor
from chat.models import Message, Session
from chat.people import feed, visitors
from tenants.callers import Caller
from tenants.errors import ApiError
from tenants.scoping import client_scope
from tenants.threads import in_thread
from tenants.visitors import check_session_token

SOON = 3.0  # seconds between two looks at the rows where a person is there or awaited, should a nudge be lost
STREAMS_AT_ONCE = 6  # of one session: tabs
Named = tuple[str, str, Any]  # an event's id or "", its name and its data

_open: Counter[tuple[uuid.UUID, uuid.UUID]] = Counter()
_tasks: set[asyncio.Task] = set()


class PeopleConsumer(ChatDoor):
    """State first, then what changes and what people write, from `Last-Event-ID` (or `?after=`) on."""

    methods = ("GET",)

    async def answer(self, caller: Caller, body: bytes) -> None:
        query = self.query()
        async with door.within(self.by):
            client = caller.client or await in_thread(caller.acting_for, query.get("clientId"))
        session_id = self.scope["url_route"]["kwargs"]["session_id"]
        if not check_session_token(client.pk, session_id, self.headers.get("x-session-token")):
            raise ApiError("NOT_FOUND", "There is no such conversation.")
        after = self.headers.get("last-event-id") or query.get("after") or ""
        with _place(client.pk, session_id):
            async with contextlib.aclosing(follow(client.pk, session_id, after)) as parts:
                async with door.within(self.by):
                    first = await anext(parts)  # ApiError before the first byte
                await self._send(caller, client.pk, first, parts)

    async def _send(
        self, caller: Caller, client_id: uuid.UUID, first: list[Named], parts: AsyncGenerator[list[Named]]
    ) -> None:
        self.started = True
        await self.send_headers(status=200, headers=self.wire_headers(FOLLOWING_HEADERS))
        task = asyncio.current_task()
        assert task is not None
        _tasks.add(task)
        ended: list[ApiError] = []

        def end() -> None:
            ended.append(watch.no_longer_allowed())
            task.cancel()

        try:
            with watch.watching(caller, client_id, end):
                await self.send_body(_frames(first), more_body=True)
                async for events in parts:
                    await self.send_body(_frames(events) or frames.HEARTBEAT, more_body=True)
        except asyncio.CancelledError:
            if not ended and not door.closing:
                raise
            for error in ended:
                data = {"code": error.code, "message": error.message, "traceId": self.trace_id}
                await self.send_body(_frames([("", "error", data)]), more_body=True)
        except ApiError:  # erased meanwhile
            pass
        finally:
            _tasks.discard(task)
        await self.send_body(b"", more_body=False)


async def follow(client_id: uuid.UUID, session_id: uuid.UUID, after: str) -> AsyncGenerator[list[Named]]:
    """Events in parts, without an end; an empty part is a silence of HEARTBEAT_SECONDS. ApiError 404 when the
    session is not there (any more). `after`: the id of the last turn that the visitor has, or empty."""
    told: dict[str, Any] = {}
    silent = 0.0
    async with feed.listening(client_id, session_id) as wait:
        while True:
            state, turns, after = await in_thread(_read, client_id, session_id, after)
            events: list[Named] = [("", "state", state)] if state != told else []
            told = state
            events += turns
            if events or silent >= HEARTBEAT_SECONDS:
                yield events
                silent = 0.0
            patience = SOON if state["person"] or state["waiting"] else HEARTBEAT_SECONDS
            signals = await wait(patience)
            silent = silent if signals else silent + patience
            if typing := next((s["name"] for s in signals if s["what"] == "typing"), None):
                yield [("", "typing", {"name": typing})]


def _read(client_id: uuid.UUID, session_id: uuid.UUID, after: str) -> tuple[dict[str, Any], list[Named], str]:
    """How things stand, what people have written since the turn `after`, and the last turn's id."""
    with client_scope(client_id):
        session = Session.objects.filter(session_id=session_id).first()
        if session is None:
            raise ApiError("NOT_FOUND", "There is no such conversation.")
        rows = session.messages.filter(role=Message.Role.STAFF)
        if seen := _row_of(session, after):
            rows = rows.filter(pk__gt=seen)
        turns: list[Named] = [(str(row.trace_id), "message", _message(row)) for row in rows.order_by("pk")]
        return visitors.state(session), turns, turns[-1][0] if turns else after


def _row_of(session: Session, trace_id: str) -> int | None:
    try:
        id = uuid.UUID(trace_id)
    except ValueError:
        return None
    return session.messages.filter(trace_id=id).order_by("-pk").values_list("pk", flat=True).first()


def _message(row: Message) -> dict[str, Any]:
    return {
        "traceId": str(row.trace_id),
        "person": {"name": row.person},
        "message": row.text,
        "createdAt": row.created.isoformat(),
    }


def _frames(events: list[Named]) -> bytes:
    return "".join(
        (f"id: {id}\n" if id else "") + f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
        for id, name, data in events
    ).encode()


@contextlib.contextmanager
def _place(*session: uuid.UUID) -> Any:
    """One of the session's STREAMS_AT_ONCE in this process; ApiError 429."""
    key = (session[0], session[1])
    if _open[key] >= STREAMS_AT_ONCE:
        raise limits.refused_for(60, "The chat is open in too many windows.")
    _open[key] += 1
    try:
        yield
    finally:
        _open[key] -= 1
        if not _open[key]:
            del _open[key]


def send_all_away() -> None:
    """For a shutdown: everybody listens on elsewhere, from where they are."""
    for task in _tasks:
        task.cancel()
