"""HTTP doors to an answer: whole (REST) and streamed (SSE). Each response runs in a task that a disconnect cancels.

A stock Channels consumer does not notice a visitor leaving, because it awaits its handler before it reads the
next message; so the handler runs beside the message loop here.
"""

import asyncio
import contextlib
import json
from typing import Any

import structlog
from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from django.conf import settings

from chat import answers, door, frames
from chat import tape as tapes
from chat.tape import Tape
from tenants.callers import Caller, headers_of
from tenants.cors import preflight_headers
from tenants.errors import ApiError, as_api_error, trace_id_of
from tenants.visitors import check_session_token

HEARTBEAT_SECONDS = 15
STREAM_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class ChatDoor(AsyncHttpConsumer):
    """Reads a small body, answers in a task, and speaks the contract's errors as long as no event is out."""

    methods = ("POST",)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.answering: asyncio.Task | None = None
        self.headers: dict[str, str] = {}
        self.cors = {"Vary": "Origin"}
        self.caller: Caller | None = None
        self.trace_id = ""
        self.started = False
        self.size = 0

    async def http_request(self, message: dict[str, Any]) -> None:
        self.size += len(message.get("body", b""))
        if self.size <= door.MAX_BODY_BYTES:
            self.body.append(message.get("body", b""))
        if not message.get("more_body"):
            self.answering = asyncio.create_task(self.respond(b"".join(self.body)))

    async def http_disconnect(self, message: dict[str, Any]) -> None:
        """Servers also send this after a response that ended well."""
        if self.answering is not None:
            self.answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.answering
        raise StopConsumer

    async def respond(self, body: bytes) -> None:
        self.headers = headers_of(self.scope["headers"])
        self.trace_id = trace_id_of(self.headers.get("x-request-id"))
        with structlog.contextvars.bound_contextvars(trace_id=self.trace_id):
            try:
                await self.route(body)
            except Exception as error:  # noqa: BLE001 - every error is told in the contract's words
                await self.send_error(as_api_error(error))

    async def route(self, body: bytes) -> None:
        method = self.scope["method"]
        if method == "OPTIONS":
            return await self.reply(204, b"", preflight_headers(self.headers))
        if method not in self.methods:
            raise ApiError("INVALID_REQUEST", f"{method} is not possible at this address.")
        if self.size > door.MAX_BODY_BYTES:
            raise ApiError("INVALID_REQUEST", "The request body is too large.")
        self.cors, judged = await door.judge(self.headers)
        if isinstance(judged, ApiError):
            raise judged
        self.caller = judged
        return await self.answer(body)

    async def answer(self, body: bytes) -> None:
        raise NotImplementedError

    async def ask(self, body: bytes) -> tuple[Tape, dict[str, str]]:
        """Admit the question and begin its answer; also the limit headers of the response."""
        assert self.caller is not None
        question = await door.admit(self.caller, door.parse_json(body), self.headers, self.trace_id)
        return await answers.begin(question), question.admission.headers()

    async def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.started = True
        await self.send_response(status, body, headers=self.wire_headers(headers))

    def wire_headers(self, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
        """With the trace id and the CORS headers."""
        headers = {**self.cors, **headers, "X-Request-ID": self.trace_id}
        return [(name.encode("latin1"), value.encode("latin1")) for name, value in headers.items()]

    async def send_error(self, error: ApiError) -> None:
        if not self.started:
            body = json.dumps(error.body(self.trace_id)).encode()
            await self.reply(error.status, body, {"Content-Type": "application/json", **error.headers})


class ChatConsumer(ChatDoor):
    """`POST /chat`: the answer in one piece."""

    async def answer(self, body: bytes) -> None:
        tape, headers = await self.ask(body)
        whole = await answers.drain(tape, settings.ANSWER_TIMEOUT)
        content = json.dumps(whole, ensure_ascii=False).encode()
        await self.reply(200, content, {"Content-Type": "application/json", **headers})


class StreamConsumer(ChatDoor):
    """`POST /chat/stream`: the answer as it is written."""

    async def answer(self, body: bytes) -> None:
        tape, headers = await self.ask(body)
        await self.stream(tape, 0, headers)

    async def stream(self, tape: Tape, after: int, headers: dict[str, str]) -> None:
        self.started = True
        await self.send_headers(status=200, headers=self.wire_headers({**STREAM_HEADERS, **headers}))
        async with contextlib.aclosing(frames.with_heartbeats(tape.follow(after), HEARTBEAT_SECONDS)) as stream:
            async for frame in stream:
                await self.send_body(frame, more_body=True)
        await self.send_body(b"", more_body=False)


class ResumeConsumer(StreamConsumer):
    """`GET /chat/stream/{traceId}`: the rest of an answer, following it live."""

    methods = ("GET",)

    async def answer(self, body: bytes) -> None:
        assert self.caller is not None
        client = self.caller.acting_for(None)
        tape = tapes.get(self.scope["url_route"]["kwargs"]["trace_id"])
        token = self.headers.get("x-session-token")
        if tape is None or tape.client_id != client.pk or not check_session_token(client.pk, tape.session_id, token):
            raise ApiError("NOT_FOUND", "There is no such answer.")
        await self.stream(tape, self._after(), {})

    def _after(self) -> int:
        query = dict(part.partition("=")[::2] for part in self.scope["query_string"].decode("latin1").split("&"))
        text = self.headers.get("last-event-id") or query.get("after") or "0"
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise ApiError("INVALID_REQUEST", "Last-Event-ID is the id of an event of this answer.")
        return int(text)
