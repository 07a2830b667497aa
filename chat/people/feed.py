"""Word between a visitor and the people of a client, through Channels: one group for each client and session.

What travels is a nudge to read the rows anew, or that somebody types; never what was said. A nudge that is lost
costs time only: who listens also reads the rows now and then.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import structlog
from channels.layers import get_channel_layer

log = structlog.get_logger(__name__)
DEADLINE = 1.0  # seconds for one step of the layer
REST = 2.0  # seconds to leave a failed layer alone
ROWS = "rows"  # the nudge: there is something to read
MOST_WAITING = 50  # signals kept for one listener; more say nothing new

Signal = dict[str, Any]  # {"what": "rows"} or {"what": "typing", "name": ...}
Wait = Callable[[float], Awaitable[list[Signal]]]


def group(client_id: uuid.UUID, session_id: uuid.UUID) -> str:
    """The group's name; the session's id counts only together with the client's."""
    return f"people.{client_id.hex}.{session_id.hex}"


async def tell(client_id: uuid.UUID, session_id: uuid.UUID, what: str = ROWS, **more: str) -> None:
    """Have everybody who listens to a session know. Never fails: rows are read without it, too."""
    message = {"type": "signal", "what": what, **more}
    try:
        async with asyncio.timeout(DEADLINE):
            await _layer().group_send(group(client_id, session_id), message)
    except Exception as error:  # noqa: BLE001 - whatever the layer's own store raises
        log.warning("listeners could not be told", error=type(error).__name__)


@contextlib.asynccontextmanager
async def listening(client_id: uuid.UUID, session_id: uuid.UUID) -> AsyncGenerator[Wait]:
    """Yields `wait(seconds)`: the signals that came, as soon as one is there; none after `seconds` of silence."""
    heard: asyncio.Queue[Signal] = asyncio.Queue(MOST_WAITING)

    async def wait(seconds: float) -> list[Signal]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                signals = [await heard.get()]
                while not heard.empty():
                    signals.append(heard.get_nowait())
                return signals
        return []

    ready = asyncio.Event()
    task = asyncio.create_task(_receive(group(client_id, session_id), heard, ready))
    try:
        with contextlib.suppress(TimeoutError):  # without the layer, rows alone
            async with asyncio.timeout(DEADLINE):
                await ready.wait()
        yield wait
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _receive(name: str, heard: "asyncio.Queue[Signal]", ready: asyncio.Event) -> None:
    """Read from the group until cancelled; Channels takes a cancelled `receive` for the channel's end."""
    while True:
        layer, channel = _layer(), ""
        try:
            channel = await layer.new_channel()
            await layer.group_add(name, channel)
            ready.set()
            while True:
                message = await layer.receive(channel)
                if not heard.full():
                    heard.put_nowait(message)
        except Exception as error:  # noqa: BLE001 - whatever the layer's own store raises
            log.warning("a conversation can't be listened to", error=type(error).__name__)
            await asyncio.sleep(REST)
        finally:
            if channel:
                with contextlib.suppress(Exception):
                    await layer.group_discard(name, channel)


def _layer() -> Any:
    return get_channel_layer()
