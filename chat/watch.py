"""Answers end within two seconds when their key is revoked or their client is switched off."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import structlog

from chat import background
from tenants.callers import Caller, still_allowed
from tenants.errors import ApiError
from tenants.threads import in_thread

log = structlog.get_logger(__name__)
CHECK_SECONDS = 0.5  # callers are remembered for a second, so together 1.5


@dataclass(eq=False)
class Watched:
    """Someone who is being answered, and what to do when they may not be any more."""

    caller: Caller
    client_id: uuid.UUID
    end: Callable[[], object]


_watched: WeakKeyDictionary[asyncio.AbstractEventLoop, set[Watched]] = WeakKeyDictionary()
_tasks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task] = WeakKeyDictionary()


@contextmanager
def watching(caller: Caller, client_id: uuid.UUID, end: Callable[[], object]) -> Iterator[None]:
    """Call `end` once if the caller is no longer allowed."""
    loop = asyncio.get_running_loop()
    watched = Watched(caller, client_id, end)
    everyone = _watched.setdefault(loop, set())
    everyone.add(watched)
    if loop not in _tasks or _tasks[loop].done():
        _tasks[loop] = background.start(_watch(everyone), "watch")
    try:
        yield
    finally:
        everyone.discard(watched)


@contextmanager
def while_allowed(caller: Caller, client_id: uuid.UUID) -> Iterator[None]:
    """End what the present task waits for in the block, with ApiError, if the caller is no longer allowed."""
    task = asyncio.current_task()
    assert task is not None
    ended: list[int] = []
    try:
        with watching(caller, client_id, lambda: ended.append(task.cancel())):
            yield
    except asyncio.CancelledError:
        if not ended or task.uncancel():  # the visitor has left
            raise
        raise no_longer_allowed() from None


def no_longer_allowed() -> ApiError:
    """What such a caller is told."""
    return ApiError("INVALID_API_KEY", "The chat was switched off, or its key is no longer valid.")


async def _watch(everyone: set[Watched]) -> None:
    while everyone:
        await asyncio.sleep(CHECK_SECONDS)
        by_caller: dict[tuple, list[Watched]] = {}
        for watched in everyone:
            key = watched.caller.key
            by_caller.setdefault((key.pk if key else None, watched.client_id), []).append(watched)
        try:
            gone = await in_thread(_gone, [group[0] for group in by_caller.values()])
        except Exception as error:  # noqa: BLE001 - the database is away: the next round asks again
            log.warning("callers could not be checked", error=type(error).__name__)
            continue
        for group in by_caller.values():
            if group[0] in gone:
                for watched in group:
                    everyone.discard(watched)
                    watched.end()


def _gone(asked: list[Watched]) -> set[Watched]:
    return {watched for watched in asked if not still_allowed(watched.caller, watched.client_id)}
