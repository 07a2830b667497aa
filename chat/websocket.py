"""WebSocket door: `/ws/widget/chat`. The key comes in the first message, never in the URL.

Close codes: 4401 no or wrong key, 4403 the origin or client is not allowed, 4400 not the protocol.
"""

import asyncio
import json
import uuid
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from chat import answers, door
from chat.tape import Tape
from tenants.callers import Caller, widget_caller
from tenants.errors import ApiError, as_api_error

AUTH_SECONDS = 10
CLOSE_CODES = {401: 4401, 403: 4403}


class WidgetConsumer(AsyncWebsocketConsumer):
    """Several questions may run on one connection; each event names its question's id."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.caller: Caller | None = None
        self.session_id: str | None = None
        self.tasks: set[asyncio.Task] = set()

    async def connect(self) -> None:
        await self.accept()
        self._spawn(self._expect_auth())

    async def disconnect(self, code: int) -> None:
        for task in self.tasks:
            task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        message: dict[str, Any] = {}
        try:
            if text_data is None or len(text_data) > door.MAX_BODY_BYTES:
                raise ApiError("INVALID_REQUEST", "Send short JSON texts.")
            message = door.parse_json(text_data.encode())
            await self._dispatch(message)
        except Exception as error:  # noqa: BLE001 - every error is told in the contract's words
            await self._error(str(message.get("id", "")), as_api_error(error))

    async def _dispatch(self, message: dict[str, Any]) -> None:
        if message.get("type") == "ping":
            await self.send(json.dumps({"event": "pong"}))
        elif message.get("type") == "auth":
            await self._authenticate(message)
        elif message.get("type") != "ask":
            raise ApiError("INVALID_REQUEST", "The message's type is auth, ask or ping.")
        elif self.caller is None:
            raise ApiError("INVALID_API_KEY", "Send an auth message first.")
        else:
            self._spawn(self._ask(str(message.get("id", "")), message))

    async def _authenticate(self, message: dict[str, Any]) -> None:
        headers = {name.decode(): value.decode("latin1") for name, value in self.scope["headers"]}
        try:
            self.caller = await door.in_thread(widget_caller, str(message.get("apiKey", "")), headers.get("origin"))
        except ApiError as error:
            await self._error("", error)
            await self.close(CLOSE_CODES.get(error.status, 4400))
            return
        self.session_id = str(message["sessionId"]) if message.get("sessionId") else str(uuid.uuid4())
        await self.send(json.dumps({"event": "ready", "data": {"sessionId": self.session_id}}))

    async def _ask(self, id: str, message: dict[str, Any]) -> None:
        assert self.caller is not None
        try:
            body = {
                "message": message.get("message"),
                "sessionId": self.session_id,
                "metadata": message.get("metadata"),
            }
            question = await door.admit(self.caller, body, {}, str(uuid.uuid4()))
            await self._send_events(id, await answers.begin(question))
        except Exception as error:  # noqa: BLE001 - likewise
            await self._error(id, as_api_error(error))

    async def _send_events(self, id: str, tape: Tape) -> None:
        async for number, event in tape.follow():
            frame = {"id": id, "event": event.name, "data": event.data, "eventId": str(number)}
            await self.send(json.dumps(frame, ensure_ascii=False))

    async def _expect_auth(self) -> None:
        await asyncio.sleep(AUTH_SECONDS)
        if self.caller is None:
            await self.close(4401)

    async def _error(self, id: str, error: ApiError) -> None:
        data = {"code": error.code, "message": error.message, "details": error.details, "traceId": str(uuid.uuid4())}
        await self.send(json.dumps({"id": id, "event": "error", "data": data}))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
