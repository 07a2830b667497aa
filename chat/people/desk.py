"""`/ws/desk/conversations/{id}`: a conversation as the staff watch it live, and their part in it.

The admin's own session says who it is, asked again every second; who has lost the right is sent away.
Texts are JSON. Sent: `turn` (its HTML, as on the transcript's page; again when it has changed), `state`, `done`
(a request was carried out, by its id) and `failed`. Received: `take`, `say`, `typing`, `return`.

Close codes:
    4401  not logged in any more, or no right to this conversation; before the connection is accepted, HTTP 403
    4404  the conversation was erased
    1012  the server restarts: connect again
"""

import asyncio
import io
import json
import uuid
from datetime import timedelta
from typing import Any

import structlog
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.core.exceptions import DisallowedHost, PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.template.loader import render_to_string
from django.utils import timezone

from chat import door
from chat.layerless import Layerless
from chat.models import Message, Session
from chat.people import feed, takeover
from tenants import audit, staff
from tenants.errors import ApiError, as_api_error
from tenants.login import logged_in
from tenants.scoping import client_scope
from tenants.threads import in_thread

log = structlog.get_logger(__name__)
LOOK_SECONDS = 1.0
TURNS_SHOWN = 100  # the latest
LONGEST_TEXT = 64 * 1024
open_connections: "set[DeskConsumer]" = set()


class DeskConsumer(Layerless, AsyncWebsocketConsumer):
    """One person at one conversation."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.seat: Seat | None = None
        self.state: dict[str, Any] = {}
        self.turns: dict[int, tuple] = {}  # what was sent of each
        self.watching: asyncio.Task | None = None

    async def connect(self) -> None:
        seat = None if door.closing else await in_thread(sit_down, self.scope)
        if seat is None:
            await self.close()  # before accept: HTTP 403
            return
        self.seat = seat
        open_connections.add(self)
        await self.accept()
        self.watching = asyncio.create_task(self._watch(seat), name="desk")

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        open_connections.discard(self)
        if self.watching is not None:
            self.watching.cancel()
        raise StopConsumer

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.seat is None or text_data is None or len(text_data) > LONGEST_TEXT:
            return
        id = ""
        try:
            message = door.parse_json(text_data.encode())
            id = str(message.get("id") or "")
            await self._act(self.seat, message)
            await self._tell("done", id=id)
        except takeover.Taken as taken:
            await self._tell("failed", id=id, message=str(taken))
        except PermissionDenied:
            await self.close(4401)
        except Exception as error:  # noqa: BLE001 - told in a person's words
            await self._tell("failed", id=id, message=as_api_error(error).message)

    async def _act(self, seat: "Seat", message: dict[str, Any]) -> None:
        if message.get("type") == "typing":
            if self.state.get("mine"):
                name = self.state["person"]
                await feed.tell(seat.client_id, seat.session_id, "typing", name=name)
            return
        await in_thread(act, self.scope, message)
        await feed.tell(seat.client_id, seat.session_id)

    async def _watch(self, seat: "Seat") -> None:
        """Show what is new, until the conversation or the right to see it ends."""
        async with feed.listening(seat.client_id, seat.session_id) as wait:
            while True:
                try:
                    state, turns = await in_thread(look, self.scope, self.turns)
                except PermissionDenied:
                    return await self.close(4401)
                except ApiError:
                    return await self.close(4404)
                except Exception as error:  # noqa: BLE001 - the database is away: the next look may succeed
                    log.warning("a conversation could not be read", error=type(error).__name__)
                else:
                    for id, html in turns:
                        await self._tell("turn", id=id, html=html)
                    if state != self.state:
                        self.state = state
                        await self._tell("state", **state)
                await wait(LOOK_SECONDS)

    async def _tell(self, event: str, **data: Any) -> None:
        await self.send(json.dumps({"event": event, **data}, ensure_ascii=False))


class Seat:
    """Somebody of the staff before one conversation, judged anew at every look."""

    def __init__(self, request: Any, user: Any, session: Session):
        self.request, self.user, self.pk = request, user, session.pk
        self.client_id, self.session_id = session.client_id, session.session_id
        self.may_take = user.has_perm("chat.take_over")

    def note(self, action: str) -> None:
        audit.note(self.request, action, f"chat.Session:{self.pk}", client_id=self.client_id)


def sit_down(scope: dict[str, Any]) -> Seat | None:
    """The seat of a new connection, noted in the audit where it sees across clients; None: it gets none."""
    try:
        if not _same_origin(_request(scope)):
            return None
        seat = _seat(scope)
        if staff.works_for_all(seat.user):
            seat.note("watch")
    except (PermissionDenied, ApiError, DisallowedHost):
        return None
    return seat


def act(scope: dict[str, Any], message: dict[str, Any]) -> None:
    """Carry out what a person asks for, and note it. Taken, PermissionDenied, ApiError 400 or 404."""
    seat = _seat(scope)
    if not seat.may_take:
        raise PermissionDenied
    place = (seat.client_id, seat.session_id, seat.user)
    with client_scope(seat.client_id):
        match message.get("type"):
            case "take":
                takeover.take_over(*place)
                seat.note("take over")
            case "say":
                takeover.write(*place, str(message.get("text") or ""), _message_id(message))
                seat.note("write to visitor")
            case "return":
                takeover.hand_back(*place)
                seat.note("hand back")
            case _:
                raise ApiError("INVALID_REQUEST", "There is no such request.")


def look(scope: dict[str, Any], known: dict[int, tuple]) -> tuple[dict[str, Any], list[tuple[int, str]]]:
    """How things stand, and the turns that are not `known` as they are now; also the holder's sign of life.
    PermissionDenied, or ApiError 404."""
    seat = _seat(scope)
    with client_scope(seat.client_id):
        session = Session.objects.filter(pk=seat.pk).first()
        if session is None:
            raise ApiError("NOT_FOUND", "There is no such conversation.")
        mine = session.staff_user == seat.user.get_username() and seat.may_take
        due = timezone.now() - timedelta(seconds=settings.TAKEOVER_SECONDS / 4)
        if mine and session.staff_seen is not None and session.staff_seen < due:
            takeover.still_here(seat.client_id, seat.session_id, seat.user)
        latest = list(session.messages.order_by("-pk")[:TURNS_SHOWN])[::-1]
    changed = [turn for turn in latest if known.get(turn.pk) != _looks(turn)]
    known.update({turn.pk: _looks(turn) for turn in changed})
    person = takeover.holder(session)
    state = {
        "person": person or None,
        "mine": bool(person) and mine,
        "waiting": takeover.waiting(session),
        "mayTake": seat.may_take,
    }
    return state, [(turn.pk, render_to_string("admin/desk/turn.html", {"turn": turn})) for turn in changed]


def _seat(scope: dict[str, Any]) -> Seat:
    request = _request(scope)
    user = logged_in(request)
    if user is None or not user.has_perm("chat.view_session"):
        raise PermissionDenied
    with staff.scope(user):
        session = Session.objects.filter(pk=scope["url_route"]["kwargs"]["pk"]).first()
    if session is None:
        raise ApiError("NOT_FOUND", "There is no such conversation.")
    return Seat(request, user, session)


def _request(scope: dict[str, Any]) -> ASGIRequest:
    """The handshake as Django's own code reads a request: cookies, host, address."""
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
    return ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, io.BytesIO())


def _same_origin(request: ASGIRequest) -> bool:
    """Cookies come along from any page, so the page must be the admin's own."""
    return request.headers.get("Origin") == f"{request.scheme}://{request.get_host()}"


def _looks(turn: Message) -> tuple:
    return turn.outcome, turn.rating, turn.comment, len(turn.text)


def _message_id(message: dict[str, Any]) -> uuid.UUID:
    """The browser's own id of a message, so that one sent again after a cut is one message."""
    try:
        return uuid.UUID(str(message["id"]))
    except (KeyError, ValueError):
        raise ApiError("INVALID_REQUEST", "A message has an id.") from None


async def send_all_away() -> None:
    """For a shutdown: everybody connects again elsewhere."""
    for consumer in list(open_connections):
        await consumer.close(1012)
