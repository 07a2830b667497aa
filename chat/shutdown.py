"""The end of a server process: what runs may finish, what can't is stored as it is, nobody is left waiting."""

import asyncio
import time
from collections.abc import Callable

from chat import answers, door, tapes, websocket
from chat.people import desk, stream

GOODBYE_SECONDS = 2.0  # for last events and responses to leave


async def finish(seconds: float, requests: Callable[[], list[asyncio.Future]]) -> None:
    """Take no more questions, let answers end for `seconds`, then stop and store the rest.

    Followers of answers made elsewhere are cut off, so that they resume elsewhere. `requests()` are the responses
    and WebSockets that are still open.
    """
    door.closing = True
    tapes.stop_mirroring()
    await answers.finish_all(seconds)
    await tapes.settle(GOODBYE_SECONDS)  # who follows from another process hears the end, too
    stream.send_all_away()
    await desk.send_all_away()
    await websocket.send_all_away(GOODBYE_SECONDS)
    deadline = time.monotonic() + GOODBYE_SECONDS
    while (waiting := requests()) and time.monotonic() < deadline:
        await asyncio.wait(waiting, timeout=0.1)
