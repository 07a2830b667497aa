"""The chat's doors as a visitor has them: over ASGI, with real rows, Redis and a scripted provider."""

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.testing import HttpCommunicator, WebsocketCommunicator

from billing.models import Reservation, UsageRecord
from chat.models import Message
from chat.routing import http_routes, websocket_routes
from tenants.models import Client
from tenants.scoping import client_scope
from tests.flows.product import events

http = URLRouter(http_routes)
sockets = URLRouter(websocket_routes)
QUESTION = "How many days do I have to return boots?"
ORIGIN = "https://shop.example.com"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, str]]:
        return events(self.body)

    @property
    def text(self) -> str:
        return "".join(data for name, data in self.events if name == "chunk")

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json["error"]["code"]


async def call(method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """One request to its end; `body` is sent as JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    communicator = HttpCommunicator(http, method, path, content, raw)
    response = await communicator.get_response(timeout=30)
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(5)
    told = {name.decode().lower(): value.decode() for name, value in response["headers"]}
    return Reply(response["status"], told, response["body"])


async def chat(key: str, body: Any = None, **headers: str) -> Reply:
    return await call("POST", "/api/widget/chat", body or {"message": QUESTION}, x_api_key=key, **headers)


async def stream(key: str, body: Any = None, **headers: str) -> Reply:
    return await call("POST", "/api/widget/chat/stream", body or {"message": QUESTION}, x_api_key=key, **headers)


@asynccontextmanager
async def leaving(key: str, body: Any = None, **headers: str) -> AsyncIterator[HttpCommunicator]:
    """A stream that the visitor leaves at the end of the block."""
    raw = [(b"x-api-key", key.encode())] + [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
    content = json.dumps(body or {"message": QUESTION}).encode()
    communicator = HttpCommunicator(http, "POST", "/api/widget/chat/stream", content, raw)
    await communicator.send_input({"type": "http.request", "body": content})
    yield communicator
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(5)


async def pieces_of(communicator: HttpCommunicator, count: int) -> bytes:
    """The bytes of a stream up to its `count`-th chunk."""
    received = b""
    while received.count(b"event: chunk") < count:
        message = await communicator.receive_output(10)
        received += message.get("body", b"")
    return received


class Socket:
    """A WebSocket of a page."""

    def __init__(self, origin: str | None = ORIGIN):
        headers = [(b"origin", origin.encode())] if origin is not None else []
        self.wire = WebsocketCommunicator(sockets, "/ws/widget/chat", headers)

    async def open(self) -> bool:
        return (await self.wire.connect(5))[0]

    async def say(self, **message: Any) -> None:
        await self.wire.send_json_to(message)

    async def hear(self, seconds: float = 10) -> dict[str, Any]:
        return await self.wire.receive_json_from(seconds)

    async def auth(self, key: str, **more: str) -> dict[str, Any]:
        await self.say(type="auth", apiKey=key, **more)
        return await self.hear()

    async def answers(self, *ids: str) -> dict[str, list[dict[str, Any]]]:
        """All events of these questions, to the final ones."""
        found: dict[str, list[dict[str, Any]]] = {id: [] for id in ids}
        while not all(events and events[-1]["event"] in ("done", "error") for events in found.values()):
            event = await self.hear()
            found[event["id"]].append(event)
        return found

    async def closed(self) -> int:
        while (message := await self.wire.receive_output(10))["type"] != "websocket.close":
            pass
        return message["code"]


@database_sync_to_async
def stored(client: Client, trace_id: str | None = None) -> list[Message]:
    """The client's answers, oldest first."""
    with client_scope(client.pk):
        rows = Message.objects.filter(role=Message.Role.ASSISTANT)
        return list(rows.filter(trace_id=uuid.UUID(trace_id)) if trace_id else rows)


@database_sync_to_async
def books(client: Client) -> tuple[list[UsageRecord], int]:
    """The client's ledger, and how many reservations are open."""
    with client_scope(client.pk):
        return list(UsageRecord.objects.order_by("at")), Reservation.objects.count()


def words(text: str) -> Sequence[str]:
    return [word + " " for word in text.split()]
