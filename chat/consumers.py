"""HTTP doors to an answer: whole (REST) and streamed (SSE). Each response runs in a task that a disconnect cancels.

A stock Channels consumer does not notice a visitor leaving, because it awaits its handler before it reads the
next message; so the handler runs beside the message loop here.
"""

import asyncio
import contextlib
import json
from typing import Any
from urllib.parse import parse_qsl

import structlog
from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from django.conf import settings

from billing import limits
from chat import answers, door, frames, metrics, tapes, watch
from chat.layerless import Layerless
from chat.tape import Tape
from chat.workflow.state import Question
from tenants import tracing
from tenants.callers import Caller, headers_of
from tenants.cors import preflight_headers
from tenants.errors import ApiError, as_api_error, trace_id_of
from tenants.models import Client
from tenants.visitors import check_session_token

HEARTBEAT_SECONDS = 15
STREAM_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
FOLLOWING_HEADERS = {**STREAM_HEADERS, "Cache-Control": "no-cache, no-store"}  # what is got with GET


class ChatDoor(Layerless, AsyncHttpConsumer):
    """Reads a small body, answers in a task, and speaks the contract's errors as long as no event is out."""

    methods = ("POST",)
    door = "rest"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.answering: asyncio.Task | None = None
        self.headers: dict[str, str] = {}
        self.cors = {"Vary": "Origin"}
        self.caller: Caller | None = None
        self.admission: limits.Admission | None = None
        self.trace_id = ""
        self.begun = self.started = False  # the answer; the response
        self.size = 0
        self.came = self.by = 0.0  # when the request came; when the answer must have begun

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
            await asyncio.gather(self.answering, return_exceptions=True)
        raise StopConsumer

    async def respond(self, body: bytes) -> None:
        self.came, self.by = asyncio.get_running_loop().time(), door.arrived()
        self.headers = headers_of(self.scope["headers"])
        self.trace_id = trace_id_of(self.headers.get("x-request-id"))
        with structlog.contextvars.bound_contextvars(trace_id=self.trace_id):
            try:
                with tracing.span("request", door=self.door):
                    await self.route(body)
            except Exception as error:  # noqa: BLE001 - every error is told in the contract's words
                await self.send_error(as_api_error(error))

    async def route(self, body: bytes) -> None:
        method = self.scope["method"]
        if method == "OPTIONS":
            return await self.reply(204, b"", preflight_headers(self.headers))
        async with door.within(self.by):
            self.cors, judged = await door.judge(self.headers)  # first: a page can read then what else is wrong
        self.caller = judged if isinstance(judged, Caller) else None
        if method not in self.methods:
            allowed = ", ".join([*self.methods, "OPTIONS"])
            raise ApiError("INVALID_REQUEST", f"{method} is not possible at this address.", headers={"Allow": allowed})
        if self.size > door.MAX_BODY_BYTES:
            raise ApiError("FILE_TOO_LARGE", "The request body is too large.")
        if isinstance(judged, ApiError):
            raise judged
        return await self.answer(judged, body)

    async def answer(self, caller: Caller, body: bytes) -> None:
        raise NotImplementedError

    async def ask(self, caller: Caller, body: bytes) -> tuple[Question, Tape]:
        """Admit the question and begin its answer."""
        peer = (self.scope.get("client") or [None])[0]
        async with door.within(self.by):
            fields = door.parse_json(body)
            caller = self.caller = await door.acting(caller, fields)
            question = await door.admit(caller, fields, self.headers, self.trace_id, peer, self.door)
            self.admission = question.admission
        tape = await answers.begin(question, self.by)
        self.begun = True
        return question, tape

    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.scope["query_string"].decode("latin1")))

    async def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.started = True
        await self.send_response(status, body, headers=self.wire_headers({"Cache-Control": "no-store", **headers}))

    def wire_headers(self, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
        """With the trace id and the CORS headers."""
        headers = {**self.cors, **headers, "X-Request-ID": self.trace_id}
        return [(name.encode("latin1"), value.encode("latin1")) for name, value in headers.items()]

    async def send_error(self, error: ApiError) -> None:
        if not self.begun:
            metrics.count_request(self.door, self.caller.client if self.caller else None, error.code)
        if not self.started:
            body = json.dumps(error.body(self.trace_id)).encode()
            headers = {"Content-Type": "application/json", **await self.limit_headers(), **error.headers}
            await self.reply(error.status, body, headers)

    async def limit_headers(self) -> dict[str, str]:
        """What is left of the client's hour: with the question's place in it, else as it stands. Empty where the client
        is not known."""
        if self.admission is not None:
            return self.admission.headers()
        client = self.caller.client if self.caller else None
        return await limits.standing(client) if client else {}


class ChatConsumer(ChatDoor):
    """`POST /chat`: the answer in one piece."""

    async def answer(self, caller: Caller, body: bytes) -> None:
        question, tape = await self.ask(caller, body)
        gone = asyncio.get_running_loop().time() - self.came
        with watch.while_allowed(caller, question.client.pk):
            whole = await answers.drain(tape, settings.ANSWER_TIMEOUT - gone)
        content = json.dumps(whole, ensure_ascii=False).encode()
        await self.reply(200, content, {"Content-Type": "application/json", **await self.limit_headers()})


class StreamConsumer(ChatDoor):
    """`POST /chat/stream`: the answer as it is written."""

    door = "sse"

    async def answer(self, caller: Caller, body: bytes) -> None:
        question, tape = await self.ask(caller, body)
        await self.stream(tape, 0, caller, question.client, STREAM_HEADERS)

    async def stream(self, tape: Tape, after: int, caller: Caller, client: Client, headers: dict[str, str]) -> None:
        """Every event after the one numbered `after`, and a comment in every silence."""
        headers = {**headers, **await self.limit_headers()}
        self.started = True
        await self.send_headers(status=200, headers=self.wire_headers(headers))
        ended = asyncio.Event()
        task = asyncio.current_task()
        assert task is not None

        def end() -> None:
            ended.set()
            task.cancel()

        try:
            with watch.watching(caller, client.pk, end):
                async with contextlib.aclosing(tape.follow(after, HEARTBEAT_SECONDS)) as parts:
                    async for number, events in parts:
                        after = number + len(events) - 1
                        await self.send_body(frames.sse(number, events) or frames.HEARTBEAT, more_body=True)
        except asyncio.CancelledError:
            if not ended.is_set():
                raise
            await self.send_body(frames.error(after + 1, watch.no_longer_allowed(), tape), more_body=True)
        except Exception as error:  # noqa: BLE001 - what fails after the first byte is an event, too
            await self.send_body(frames.error(after + 1, as_api_error(error), tape), more_body=True)
        await self.send_body(b"", more_body=False)


class ResumeConsumer(StreamConsumer):
    """`GET /chat/stream/{traceId}`: the rest of an answer, following it live."""

    methods = ("GET",)
    door = "resume"

    async def answer(self, caller: Caller, body: bytes) -> None:
        async with door.within(self.by):
            caller = self.caller = await door.acting(caller, self.query())
            client = caller.client
            assert client is not None
            try:
                tape = await tapes.find(client.pk, self.scope["url_route"]["kwargs"]["trace_id"])
            except tapes.Away as away:  # it may well be there
                raise door.unavailable() from away
        token = self.headers.get("x-session-token")
        if tape is None or not check_session_token(client.pk, tape.session_id, token):
            raise ApiError("NOT_FOUND", "There is no such answer.")
        after = self._after(tape)
        self.begun = True
        metrics.count_request(self.door, client, "followed")
        await self.stream(tape, after, caller, client, FOLLOWING_HEADERS)

    def _after(self, tape: Tape) -> int:
        """Which event they have seen last, 0 for none. One that a running answer does not have here may be on its way
        from another process."""
        text = self.headers.get("last-event-id") or self.query().get("after") or "0"
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
        if number is None or (tape.finished and number > len(tape.events)):
            raise ApiError("INVALID_REQUEST", "Last-Event-ID is the id of an event of this answer.")
        return number
