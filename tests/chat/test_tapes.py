"""What is remembered of answers, and how they are followed in this process and from another."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from chat.tape import Event, Tape, _Bell

START, DONE = Event("start", {}), Event("done", "[DONE]")


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_a_silence_is_told_of_silence_only() -> None:
    """Not of every piece to who asked for what comes after an event that is not there yet."""
    tape = Tape(*[uuid.uuid4() for _ in range(3)])
    tape.append(START)
    parts: list[list[Event]] = []

    async def follow() -> None:
        async for _, events in tape.follow(after=99):
            parts.append(events)

    follower = asyncio.create_task(follow())
    await until(lambda: tape.followed)
    for piece in ("a", "b", "c"):
        tape.append(Event("chunk", piece))
        await asyncio.sleep(0)
    tape.append(DONE)
    await follower
    assert parts == []


async def test_a_follower_that_takes_long_with_its_first_part_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rings: list[int] = []
    ring = _Bell._ring
    monkeypatch.setattr(_Bell, "_ring", lambda bell: (rings.append(1), ring(bell)))
    tape = Tape(*[uuid.uuid4() for _ in range(3)])
    tape.append(START)
    parts: AsyncIterator = tape.follow(patience=0.05)
    assert await anext(parts) == (1, [START])
    await asyncio.sleep(0.3)  # as long as a full socket lets it wait
    assert len(rings) < 10
    assert await anext(parts) == (2, [])
