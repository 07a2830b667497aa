"""Visitors: each asks, reads to the end, and asks again. Their clock is the provider's: both on this machine.

`python -m tests.bench.load '<json of a Plan>'` runs in a process of its own and prints a JSON line with what it saw,
so that neither the load nor the measured process waits for the other's interpreter.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Plan:
    """`visitors` at once, each `asks` times; `body` may hold {n}, a number of its own for each question.
    `first` is what marks the first piece in the response, `end` what closes it."""

    port: int
    path: str
    headers: dict[str, str]
    body: str
    first: str
    end: str
    visitors: int
    asks: int
    seed: int = 0
    spread: float = 1.2  # seconds over which the visitors arrive


@dataclass
class Seen:
    first: list[float] = field(default_factory=list)  # seconds to the first piece
    whole: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Visitor(asyncio.Protocol):
    """One connection, kept; one question at a time."""

    def __init__(self, plan: Plan):
        self.marks = plan.first.encode(), plan.end.encode()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def ask(self, request: bytes) -> "asyncio.Future[tuple[float, float]]":
        self.tail, self.first_at, self.asked_at = b"", 0.0, time.perf_counter()
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answered

    def data_received(self, data: bytes) -> None:
        first, end = self.marks
        self.tail = (self.tail + data)[-2000:] if self.first_at else self.tail + data
        if not self.first_at and first in self.tail:
            self.first_at = time.perf_counter()
        if end in self.tail and not self.answered.done():
            now = time.perf_counter()
            self.answered.set_result((self.first_at - self.asked_at, now - self.asked_at))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(ConnectionError(self.tail.decode("latin1")))


async def run(plan: Plan) -> Seen:
    seen, numbers = Seen(), itertools.count(plan.seed)
    moods = random.Random(plan.seed)
    await asyncio.gather(*(_visit(plan, seen, numbers, moods.uniform(0, plan.spread)) for _ in range(plan.visitors)))
    return seen


async def _visit(plan: Plan, seen: Seen, numbers: Any, delay: float) -> None:
    await asyncio.sleep(delay if plan.visitors > 1 else 0)
    loop = asyncio.get_running_loop()
    _, visitor = await loop.create_connection(lambda: Visitor(plan), "127.0.0.1", plan.port)
    for _ in range(plan.asks):
        body = plan.body.replace("{n}", str(next(numbers))).encode()
        lines = [f"POST {plan.path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in plan.headers.items()]
        try:
            async with asyncio.timeout(120):
                first, whole = await visitor.ask("\r\n".join([*lines, "", ""]).encode() + body)
        except (ConnectionError, TimeoutError) as error:
            seen.failures.append(f"{error!r}"[:500] + visitor.tail.decode("latin1")[:500])
            return
        seen.first.append(first)
        seen.whole.append(whole)
    visitor.transport.close()


if __name__ == "__main__":
    print(json.dumps(vars(asyncio.run(run(Plan(**json.loads(sys.argv[1])))))), flush=True)
