"""What each server process does beside answering: it shows that it lives, closes what dead ones left open, and
forgets clients that are being erased."""

import asyncio
import time
from weakref import WeakKeyDictionary

import structlog
from django.db import Error as DatabaseFailure

from billing import limits
from chat import background, sweeper, tapes
from chat.people import upkeep
from tenants import erasure
from tenants.threads import in_thread

log = structlog.get_logger(__name__)
SWEEP_SECONDS = 10.0
_tasks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task] = WeakKeyDictionary()


def start() -> None:
    """Begin once in an event loop; called with every question, and when a server starts."""
    loop = asyncio.get_running_loop()
    if loop not in _tasks or _tasks[loop].done():
        _tasks[loop] = background.start(_take_care(), "caretaker")


async def _take_care() -> None:
    async with asyncio.TaskGroup() as together:
        together.create_task(_show_life(), name="signs of life")
        together.create_task(_close_and_forget(), name="closing and forgetting")
        together.create_task(upkeep.run(), name="upkeep")


async def _show_life() -> None:
    """Asks Redis only: a database that keeps everybody waiting must not make this process look dead to others."""
    while True:
        await tapes.beat()
        await tapes.honour_erasures()
        await asyncio.sleep(tapes.HEARTBEAT)


async def _close_and_forget() -> None:
    swept = time.monotonic()
    while True:
        await forget_erased()
        await limits.catch_up()
        if time.monotonic() - swept > SWEEP_SECONDS:
            try:
                await sweeper.sweep()
            except Exception as error:
                log.error("sweeping failed", exc_info=error)
            swept = time.monotonic()
        await asyncio.sleep(tapes.HEARTBEAT)


async def forget_erased() -> None:
    """Stop the answers of clients whose deletion was requested a moment ago, and forget what is remembered of them."""
    try:
        for client_id in await in_thread(erasure.under_way):
            tapes.forget_client(client_id)
            erasure.forget(client_id)
    except DatabaseFailure as error:
        log.warning("nobody could be asked who is erased", error=type(error).__name__)
