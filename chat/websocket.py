"""WebSocket door: `/ws/widget/chat`. The key comes in the first message, never in the URL.

Every frame out is `{"id", "event", "data", "eventId"}`. `id` is that of the message it answers, as it came; "" where
that had none. `eventId` is "" where the frame is no event that could be asked for again.

Close codes:
    4400  the first message was no auth message, or none came within AUTH_SECONDS
    4401  no, a wrong or a revoked key
    4403  the page's origin or the client is not allowed
    4429  too many messages at once
    1009  a message larger than the server takes in
    1012  the server restarts: connect again, ask again with the same Idempotency-Key or resume over HTTP
"""

import asyncio
import contextlib
import json
import uuid
from typing import Any

import structlog
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from chat import answers, door, metrics, watch
from chat.layerless import Layerless
from chat.models import Session
from chat.people.stream import follow
from chat.tape import Tape
from tenants import tracing
from tenants.callers import Caller, headers_of, widget_caller
from tenants.errors import ApiError, as_api_error, new_trace_id
from tenants.origins import parse_origin
from tenants.scoping import client_scope
from tenants.threads import in_thread
from tenants.visitors import check_session_token, session_token

AUTH_SECONDS = 10
CLOSE_CODES = {400: 4400, 401: 4401, 403: 4403}
QUESTIONS_AT_ONCE = 20  # on one connection; how many are answered at once is the limits' matter
Id = str | int  # of a message; the visitor's page chooses it
open_connections: "set[WidgetConsumer]" = set()


class WidgetConsumer(Layerless, AsyncWebsocketConsumer):
    """Several questions may run on one connection; each event names its question's id."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.caller: Caller | None = None
        self.session_id = ""
        self.headers: dict[str, str] = {}
        self.tasks: set[asyncio.Task] = set()
        self.questions: set[asyncio.Task] = set()  # those of them that answer one
        self.listening: asyncio.Task | None = None
        self.left = False  # it was told to go: what it still says is not heard
        self.held = contextlib.ExitStack()

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        await self.disconnect(message["code"])
        raise StopConsumer

    async def connect(self) -> None:
        """A page whose origin can't be one is refused before a key is known; the rest is judged with the key."""
        self.headers = headers_of(self.scope["headers"])
        origin = self.headers.get("origin")
        if door.closing or (origin is not None and parse_origin(origin) is None):
            await self.close()  # before accept: HTTP 403
            return
        open_connections.add(self)
        await self.accept()
        self._spawn(self._expect_auth())

    async def disconnect(self, code: int) -> None:
        open_connections.discard(self)
        self.held.close()
        for task in self.tasks:
            task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.left:
            return
        id: Id = ""
        try:
            if text_data is None or len(text_data) > door.MAX_BODY_BYTES:
                raise ApiError("INVALID_REQUEST", "Send short JSON texts.")
            body = text_data.encode()
            message = door.json_object(body)
            id = _id_of(message)
            door.demand_storable(body, message)
            await self._act(id, message)
        except Exception as error:  # noqa: BLE001 - every error is told in the contract's words
            await self._refuse(id, as_api_error(error), str(new_trace_id()))
            if self.caller is None:
                await self._leave(CLOSE_CODES.get(as_api_error(error).status, 4400))

    async def _act(self, id: Id, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if self.caller is None:
            if kind != "auth":
                raise ApiError("INVALID_REQUEST", "Send an auth message first.")
            await self._authenticate(id, message)
        elif kind == "ping":
            await self._send_frame(id, "pong", {})
        elif kind == "ask":
            if len(self.questions) >= QUESTIONS_AT_ONCE:
                await self._leave(4429)
                return
            question = self._spawn(self._ask(id, self.caller, message))
            self.questions.add(question)
            question.add_done_callback(self.questions.discard)
        elif kind == "listen":
            if self.listening is not None:
                self.listening.cancel()
            self.listening = self._spawn(self._listen(id, self.caller, str(message.get("after") or "")))
        else:
            raise ApiError("INVALID_REQUEST", "After auth the message's type is ask, listen or ping.")

    async def _authenticate(self, id: Id, message: dict[str, Any]) -> None:
        """Key and page, as everywhere; a session that exists goes on with its token only, else a new one begins."""
        async with door.within(door.arrived()):
            caller, session_id = await in_thread(_recognise, message, self.headers.get("origin"))
        self.caller, self.session_id = caller, str(session_id)
        self.held.enter_context(watch.watching(caller, caller.client.pk, self._no_longer_allowed))
        token = session_token(caller.client.pk, session_id)
        await self._send_frame(id, "ready", {"sessionId": str(session_id), "sessionToken": token})

    async def _ask(self, id: Id, caller: Caller, message: dict[str, Any]) -> None:
        trace_id = str(new_trace_id())
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        try:
            body = {
                "message": message.get("message"),
                "sessionId": self.session_id,
                "metadata": message.get("metadata"),
            }
            headers = {name: value for name, value in self.headers.items() if name == "x-forwarded-for"}
            if isinstance(key := message.get("idempotencyKey"), str):
                headers["idempotency-key"] = key
            peer = (self.scope.get("client") or [None])[0]
            by = door.arrived()
            with tracing.span("request", door="websocket"):
                async with door.within(by):
                    question = await door.admit(caller, body, headers, trace_id, peer, "websocket")
                tape = await answers.begin(question, by)
        except Exception as error:  # noqa: BLE001 - likewise
            return await self._refuse(id, as_api_error(error), trace_id)
        return await self._send_events(id, tape)

    async def _listen(self, id: Id, caller: Caller, after: str) -> None:
        """What people write in the session, until another `listen` or the end."""
        assert caller.client is not None
        try:
            async with contextlib.aclosing(follow(caller.client.pk, uuid.UUID(self.session_id), after)) as parts:
                async for events in parts:
                    for at, name, data in events:
                        await self._send_frame(id, name, data, at)
        except Exception as error:  # noqa: BLE001 - likewise
            await self._send_error(id, as_api_error(error), str(new_trace_id()))

    async def _send_events(self, id: Id, tape: Tape) -> None:
        async with contextlib.aclosing(tape.follow()) as parts:
            async for number, events in parts:
                for at, event in enumerate(events, number):
                    await self._send_frame(id, event.name, event.data, str(at))

    async def _expect_auth(self) -> None:
        await asyncio.sleep(AUTH_SECONDS)
        if self.caller is None:
            await self._leave(4400)

    async def _refuse(self, id: Id, error: ApiError, trace_id: str) -> None:
        metrics.count_request("websocket", self.caller.client if self.caller else None, error.code)
        await self._send_error(id, error, trace_id)

    async def _send_error(self, id: Id, error: ApiError, trace_id: str) -> None:
        data = {"code": error.code, "message": error.message, "details": error.details, "traceId": trace_id}
        await self._send_frame(id, "error", data)

    async def _send_frame(self, id: Id, event: str, data: Any, event_id: str = "") -> None:
        frame = {"id": id, "event": event, "data": data, "eventId": event_id}
        await self.send(json.dumps(frame, ensure_ascii=False))

    def _no_longer_allowed(self) -> None:
        self._spawn(self._send_away())

    async def _send_away(self) -> None:
        await self._send_error("", watch.no_longer_allowed(), str(new_trace_id()))
        await self._leave(4401)

    async def _leave(self, code: int) -> None:
        """Close, and stop following at once: the other side may take its time to say goodbye."""
        self.left = True
        await self.close(code)
        for task in self.tasks - {asyncio.current_task()}:
            task.cancel()

    def _spawn(self, coroutine: Any) -> asyncio.Task:
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


def _id_of(message: dict[str, Any]) -> Id:
    """The `id` of a message that may be refused for other reasons; "" where there is none.
    ApiError INVALID_REQUEST for one that is neither a text nor a whole number."""
    id = message.get("id")
    if id is None:
        return ""
    if isinstance(id, str):
        return id.encode(errors="replace").decode()  # half a surrogate pair can't be sent
    if isinstance(id, bool) or not isinstance(id, int):
        raise ApiError("INVALID_REQUEST", "The id of a message is a text or a whole number.")
    return id


def _recognise(message: dict[str, Any], origin: str | None) -> tuple[Caller, uuid.UUID]:
    """The caller of an auth message and the session that it may go on with. Queries."""
    caller = widget_caller(str(message.get("apiKey") or "").strip(), origin)
    assert caller.client is not None
    try:
        session_id = uuid.UUID(str(message["sessionId"]))
    except (KeyError, ValueError):
        return caller, uuid.uuid4()
    token = message.get("sessionToken")
    if not check_session_token(caller.client.pk, session_id, token if isinstance(token, str) else None):
        with client_scope(caller.client.pk):
            if Session.objects.filter(session_id=session_id).exists():
                return caller, uuid.uuid4()
    return caller, session_id


async def send_all_away(seconds: float) -> None:
    """For a shutdown: everybody connects again elsewhere. Answers have ended by now; their last events leave first,
    `seconds` at most."""
    if telling := {question for consumer in open_connections for question in consumer.questions}:
        await asyncio.wait(telling, timeout=seconds)
    for consumer in list(open_connections):
        await consumer._leave(1012)
