"""What every request passes before Django and Channels: how large it may be, and one header.

Daphne takes a whole body in before it asks the application, and bounds neither bodies nor WebSocket messages,
so its classes are told the limits too (`limit_daphne`). A proxy's own limit comes on top, not instead.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import daphne.server
from daphne import http_protocol
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from django.conf import settings
from twisted.internet.tcp import Connection

from chat import door
from tenants.callers import headers_of
from tenants.cors import cors_headers
from tenants.errors import ApiError, trace_id_of
from tenants.threads import in_thread

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

UPLOAD_PATHS = {"/api/widget/process-document", "/admin/knowledge/document/upload/"}
MAX_OTHER_BODY = 1024 * 1024  # forms of the admin; the chat routes count their own 64 KB
MAX_SOCKET_MESSAGE = 256 * 1024  # either way; the chat takes questions of 64 KB at most
MOST_UNHEARD = 20  # messages of one socket that wait for the application
MOST_UNREAD = 64 * 1024  # bytes that one socket's other side leaves with us
LOOK_SECONDS = 0.05  # between two looks at a socket that is not read from
SWALLOWED = 4  # a body over the limit is read and dropped up to so many times it, so that the refusal is read too


class Edge:
    """ASGI: refuses a body over its route's limit with 413, by its Content-Length or as it comes."""

    def __init__(self, application: Any):
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.application(scope, receive, send)
        limit = body_limit(scope["path"])
        reply = _Reply(send, bodiless=scope["method"] == "HEAD")
        try:
            if _declared(scope) > limit:
                raise _TooLarge
            return await self.application(scope, _counted(receive, limit), reply.send)
        except _TooLarge:
            return None if reply.started else await _refuse(scope, send)


class _Reply:
    """The response on its way: has it begun, and does it say that its type is meant? Daphne keeps back only the first
    piece of a body that nobody asked for; what follows would be read as the next response."""

    def __init__(self, send: Send, bodiless: bool):
        self._send = send
        self._bodiless = bodiless
        self.started = False

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = list(message.get("headers", []))
            if not any(name.lower() == b"x-content-type-options" for name, _ in headers):
                headers.append((b"X-Content-Type-Options", b"nosniff"))
            message = {**message, "headers": headers}
        elif self._bodiless:
            message = {**message, "body": b""}
        await self._send(message)


class _TooLarge(Exception):
    pass


def body_limit(path: str) -> int:
    """Bytes that a request to this path may have."""
    return settings.DATA_UPLOAD_MAX_MEMORY_SIZE if path in UPLOAD_PATHS else MAX_OTHER_BODY


def _declared(scope: Scope) -> int:
    text = dict(scope["headers"]).get(b"content-length", b"")
    return int(text) if text.isdigit() else 0


def _counted(receive: Receive, limit: int) -> Receive:
    size = 0

    async def counting() -> dict[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _TooLarge
        return message

    return counting


async def _refuse(scope: Scope, send: Send) -> None:
    headers = headers_of(scope["headers"])
    error = ApiError("FILE_TOO_LARGE", "The request is too large.")
    with contextlib.suppress(Exception):  # the database is away: a page can't read why, and is refused all the same
        async with door.within(door.arrived()):
            error.headers = await in_thread(cors_headers, headers)
    trace_id = trace_id_of(headers.get("x-request-id"))
    told = {"Content-Type": "application/json", "X-Request-ID": trace_id, "X-Content-Type-Options": "nosniff"}
    wire = [(name.encode("latin1"), value.encode("latin1")) for name, value in {**told, **error.headers}.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": wire})
    await send({"type": "http.response.body", "body": json.dumps(error.body(trace_id)).encode()})


async def no_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI: a WebSocket at an address that has none, refused with 403 in the handshake."""
    await receive()
    await send({"type": "websocket.close"})


class _BoundedRequest(http_protocol.WebRequest):
    """Keeps at most one piece more than the largest limit, which the Edge then refuses.

    Forms are the application's to read: Twisted would read each, too, and cut the connection over a bad one.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)
        self.received = 0

    def process(self) -> Any:
        """Daphne believes whoever says where the service is mounted; for a proxy the address would be another one."""
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        return super().process()

    def handleContentChunk(self, data: bytes) -> None:
        before, self.received = self.received, self.received + len(data)
        if before <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            super().handleContentChunk(data)
        elif self.received > SWALLOWED * settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            self.channel.loseConnection()

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Send what a message comes to in one piece and at once. Twisted would wait for the next round of the event
        loop, and tell the system before and after it which socket it waits for: half the cost of a streamed piece."""
        transport = self.channel.transport if self.channel else None
        if not isinstance(transport, Connection):
            super().handle_reply(message)
            return
        wanted: list[bool] = []
        transport.startWriting = lambda: wanted.append(True)  # type: ignore[method-assign]
        try:
            super().handle_reply(message)
        finally:
            del transport.startWriting
        if wanted and (transport.doWrite() is not None or transport.dataBuffer):
            transport.startWriting()  # the rest, or the end of the connection, is the event loop's


class _BoundedSocket(WebSocketProtocol):
    """Says with close code 1009 that a message is too large, before it is whole. The rest is read and dropped until the
    other side closes, for a second at most; any other fault drops the connection at once.

    Takes in no more from who says more than the application has heard, or leaves unread what it is told: both would be
    kept in memory without an end.
    """

    held = False

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if not self.held:
            self._hold_while_behind()

    def _hold_while_behind(self) -> None:
        """Look now, and as long as it is held."""
        behind = bool(self.transport.connected) and (self._unheard() > MOST_UNHEARD or self._unread() > MOST_UNREAD)
        if behind and not self.held:
            self.transport.pauseProducing()
        elif self.held and not behind:
            self.transport.resumeProducing()
        self.held = behind
        if behind:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._hold_while_behind)

    def _unheard(self) -> int:
        queue = getattr(self, "application_queue", None)
        return queue.qsize() if queue is not None else 0

    def _unread(self) -> int:
        kept = self.transport
        return len(kept.dataBuffer) - kept.offset + kept._tempDataLen if isinstance(kept, Connection) else 0

    def serverSend(self, content: Any, binary: bool = False) -> None:
        """To who is still there; the application hears in a moment that the other side has said goodbye."""
        if self.state == self.STATE_OPEN:
            super().serverSend(content, binary)

    def serverClose(self, code: int | None = None) -> None:
        """With the codes that are a server's own, too: who restarts says 1012, which a client's side must not."""
        self.sendCloseFrame(code=1000 if code is None else code)

    def onMessageFrameBegin(self, length: int) -> None:
        self.failByDrop = False
        super().onMessageFrameBegin(length)
        self.failByDrop = True


class _BoundedSockets(WebSocketFactory):
    protocol = _BoundedSocket

    def setProtocolOptions(self, **options: Any) -> None:
        """Daphne sets limits of its own when it starts."""
        limits = dict.fromkeys(("maxFramePayloadSize", "maxMessagePayloadSize"), MAX_SOCKET_MESSAGE)
        super().setProtocolOptions(**{**options, **limits})


def limit_daphne() -> None:
    """Have every Daphne server of this process made with the limits. It looks both names up when it starts."""
    http_protocol.WebRequest = _BoundedRequest
    daphne.server.WebSocketFactory = _BoundedSockets
