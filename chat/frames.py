"""Events as Server-Sent Events frames."""

import asyncio
import json
from collections.abc import AsyncGenerator

from chat.tape import Event

HEARTBEAT = b": still here\n\n"


def sse(number: int, event: Event) -> bytes:
    """One frame: id, name, and the data in as many `data:` lines as it has lines."""
    data = event.data if isinstance(event.data, str) else json.dumps(event.data, ensure_ascii=False)
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"id: {number}\nevent: {event.name}\n{lines}\n".encode()


async def with_heartbeats(events: AsyncGenerator[tuple[int, Event], None], seconds: float) -> AsyncGenerator[bytes]:
    """Frames of the events, and a comment after every `seconds` of silence, which doesn't disturb what it waits for."""
    waiting: asyncio.Task | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(events, None))
            done, _ = await asyncio.wait({waiting}, timeout=seconds)
            if not done:
                yield HEARTBEAT
                continue
            item, waiting = waiting.result(), None
            if item is None:
                return
            yield sse(*item)
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait({waiting})
        await events.aclose()
