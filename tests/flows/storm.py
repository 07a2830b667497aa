"""Many visitors at once over two web processes that are killed, a Redis that is flushed, and a model that fails.

What came back to the visitors is kept by idempotency key, to be compared with the books afterwards. A visitor asks
until there is a final answer; what stays without one is asked again when the storm is over.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import redis
from django.conf import settings
from django.db import connection

from tests.contracts.llm_server import LlmServer, Reply, openai_events, status
from tests.services import free_port, wait_for_port

ROOT = Path(__file__).resolve().parents[2]
LUCKY = "How long do I have to return boots?"
UNLUCKY = "How long do I have to return unlucky boots?"
FINAL = (200, 429, 502)  # an answer, a limit, a failed model: nobody asks again under this key
GIVE_UP = 8.0  # seconds of asking again for an answer that a dead process was writing
LAST_PATIENCE = 12.0  # the same when the storm is over: dead processes' answers are closed within 10 s


class FlakyModel(LlmServer):
    """Answers at once; a question about unlucky boots is refused as no retry can mend."""

    ANSWER = Reply(openai_events(["You have ", "60 days", "."]))

    def _reply(self, path: str) -> Reply:
        question = str(self.requests[-1].body)
        self.requests.clear()
        return status(400) if "unlucky boots" in question else self.ANSWER


class Web:
    """A web process on a port that it keeps over its deaths."""

    def __init__(self, environment: dict[str, str], log: Path):
        self.port, self.environment, self.log = free_port(), environment, log
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "daphne", "-p", str(self.port), "config.asgi:application"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def two_webs(directory: Path, **more: str) -> Iterator[list[Web]]:
    """Two web processes on the test's database and Redis."""
    url = urlsplit(os.environ["DATABASE_URL"])
    database = urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}"))
    environment = {**os.environ, "DATABASE_URL": database, "DATABASE_POOL_SIZE": "10", "LOG_LEVEL": "WARNING", **more}
    webs = [Web(environment, directory / f"web-{number}.log") for number in (1, 2)]
    try:
        for web in webs:
            wait_for_port(web.port, 60)
        yield webs
    finally:
        for web in webs:
            web.kill()


@dataclass
class Storm:
    """`requests` questions, each under a key of its own, shared out evenly over the clients' `keys`."""

    webs: list[Web]
    keys: list[str]
    requests: int
    at_once: int
    kills: int
    seed: int = 1
    finals: dict[str, tuple[int, str, str]] = field(default_factory=dict)  # by key: (status, trace id, API key)
    changed: list[object] = field(default_factory=list)  # answers that were others when asked for again
    statuses: Counter = field(default_factory=Counter)

    def run(self) -> None:
        asyncio.run(self._run())

    def with_status(self, status: int, api_key: str) -> set[str]:
        """The trace ids of the requests of a client that ended so."""
        return {trace for code, trace, key in self.finals.values() if (code, key) == (status, api_key)}

    async def _run(self) -> None:
        chance = random.Random(self.seed)
        self._unanswered: dict[str, str] = {}
        self._urls, self._ended = cycle(self.webs), asyncio.Queue[str]()
        questions = iter([(uuid.uuid4().hex, chance.random(), chance.random()) for _ in range(self.requests)])
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
            visitors = [asyncio.create_task(self._visitor(http, questions)) for _ in range(self.at_once)]
            trouble = asyncio.create_task(self._trouble())
            await asyncio.gather(*visitors)
            await trouble
            await asyncio.gather(*(self._ask_last(http, *left) for left in self._unanswered.items()))

    async def _ask_last(self, http: aiohttp.ClientSession, key: str, question: str) -> None:
        api_key = self.finals[key][2]
        self.finals[key] = (*await self._ask(http, key, api_key, question, LAST_PATIENCE), api_key)

    async def _visitor(self, http: aiohttp.ClientSession, questions: Iterator[tuple[str, float, float]]) -> None:
        for key, luck, doubt in questions:
            api_key = self.keys[int(key, 16) % len(self.keys)]
            question = UNLUCKY if luck < 0.05 else LUCKY
            first = await self._ask(http, key, api_key, question)
            if doubt < 0.10 and first[0] == 200:  # the visitor's network lost the answer, and the widget asks again
                again = await self._ask(http, key, api_key, question)
                if again != first:  # at a full hour too
                    self.changed.append((first, again))
            self.finals[key] = (*first, api_key)
            if first[0] not in FINAL or (first[0] == 502 and question == LUCKY):
                self._unanswered[key] = question
            self._ended.put_nowait(key)

    async def _ask(
        self, http: aiohttp.ClientSession, key: str, api_key: str, question: str, patience: float = GIVE_UP
    ) -> tuple[int, str]:
        """Ask until there is a final answer; (status, trace id)."""
        deadline, body = time.monotonic() + patience, {"message": question, "sessionId": str(uuid.UUID(key))}
        while True:
            try:
                headers = {"x-api-key": api_key, "Idempotency-Key": key}
                url = next(self._urls).url + "/api/widget/chat"
                async with http.post(url, json=body, headers=headers) as reply:
                    code, told = reply.status, await reply.json()
            except (aiohttp.ClientError, TimeoutError):
                code, told = 0, {"traceId": ""}
            self.statuses[code] += 1
            searched = told.get("error", {}).get("code") != "VECTOR_SEARCH_ERROR"  # the small index of tests was busy
            if (code in FINAL and searched) or (code and time.monotonic() > deadline):
                return code, told["traceId"]
            await asyncio.sleep(0.2)

    async def _trouble(self) -> None:
        """Kills at even distances, each process in turn, and one flush half-way."""
        steps = [(self.requests * (n + 1) // (self.kills + 1), self.webs[n % 2]) for n in range(self.kills)]
        ended = 0
        for due, web in sorted([*steps, (self.requests // 2, None)], key=lambda step: step[0]):
            while ended < due:
                await self._ended.get()
                ended += 1
            if web is None:
                redis.Redis.from_url(settings.REDIS_URL).flushdb()
            else:
                web.kill()
                web.start()
