"""Two server processes on one PostgreSQL, one Redis and one Qdrant, and a reader that cuts and resumes."""

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contracts.llm_server import LlmServer
from tests.contracts.qdrant_server import small_qdrant
from tests.flows.installation import Installation, database
from tests.flows.product import ROOT
from tests.services import free_port, wait_for_port

SETUP = """
import sys
from tenants import keys
from tenants.models import Client
from tests.knowledge.test_search import learn
client = Client.objects.create(name="Acme", tier="paid", hourly_limit=10**6)
learn(client, "returns", "Boots can be returned within 60 days if they have not been worn outdoors.")
print(keys.mint(client.pk, "publishable")[1])
"""


class Pair(Installation):
    """Two web processes; `ports` in the order of `processes`."""

    ports: list[int]
    servers: list[subprocess.Popen[bytes]]
    key: str
    provider: LlmServer
    directory: Path

    def start(self, number: int) -> None:
        """Start the server `number` (anew)."""
        log = (self.directory / f"web-{number}.log").open("ab")
        command = [sys.executable, "manage.py", "web", "--port", str(self.ports[number])]
        server = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self.servers[number : number + 1] = [server]
        wait_for_port(self.ports[number], 60)

    def ask(self, number: int, message: str, **headers: str) -> "Reader":
        reader = Reader(self, {"x-api-key": self.key, "content-type": "application/json", **headers})
        reader.open(number, "POST", "/api/widget/chat/stream", json.dumps({"message": message}))
        return reader

    def answers(self) -> list[tuple]:
        """(trace id, outcome, text) of every answer."""
        return self.rows("SELECT trace_id::text, outcome, text FROM chat_message WHERE role = 'assistant'")

    def wait_for_rest(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while any(outcome == "running" for _, outcome, _ in self.answers()):
            assert time.monotonic() < deadline, self.answers()
            time.sleep(0.1)


@contextlib.contextmanager
def pair(directory: Path, provider: LlmServer, **settings: str) -> Iterator[Pair]:
    with small_qdrant() as qdrant, database("streams") as (url, owner):
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DATABASE_OWNER_URL": owner,
            "QDRANT_URL": qdrant.url,
            "OPENAI_BASE_URL": provider.openai_url,
            "ANSWER_CACHE_SECONDS": "1",
            "SESSION_REQUESTS_PER_MINUTE": "0",
            "DATA_DIR": str(directory / "var"),
            "LOG_LEVEL": "WARNING",
            **settings,
        }
        product = Pair("", environment)
        product.qdrant, product.provider, product.directory = qdrant, provider, directory
        migrated = product.manage("migrate")
        assert migrated.returncode == 0, migrated.stderr
        made = product.manage("shell", "-v", "0", "-c", SETUP)
        assert made.returncode == 0, made.stderr
        product.key = made.stdout.split()[-1]
        product.ports, product.servers = [free_port(), free_port()], []
        product.start(0)
        product.start(1)
        product.url = f"http://127.0.0.1:{product.ports[0]}"
        try:
            yield product
        finally:
            for server in product.servers:
                if server.poll() is None:
                    server.send_signal(signal.SIGTERM)
            for server in product.servers:
                server.wait(45)


@dataclass
class Reader:
    """Reads one answer, cut and resumed as often as one likes; keeps every event by its id."""

    product: Pair
    headers: dict[str, str]
    events: list[tuple[int, str, str]] = field(default_factory=list)

    def open(self, number: int, method: str, path: str, body: str | None = None, **headers: str) -> int:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.product.ports[number], timeout=20)
        self.connection.request(method, path, body, {**self.headers, **headers})
        self.response = self.connection.getresponse()
        return self.response.status

    def read(self, count: int = 10**9) -> bool:
        """Read at most `count` events; True when the answer is at its end, False otherwise or when it was cut."""
        frame: dict[str, list[str]] = {}
        while count:
            try:
                line = self.response.readline().decode().removesuffix("\n")
            except (OSError, http.client.HTTPException):
                return False
            if line:
                name, _, value = line.partition(":")
                frame.setdefault(name, []).append(value.removeprefix(" "))
                continue
            if "event" in frame:
                self.events.append((int(frame["id"][0]), frame["event"][0], "\n".join(frame["data"])))
                count -= 1
                if self.events[-1][1] in ("done", "error"):
                    return True
            elif not frame:
                return False  # the end of the response
            frame = {}
        return False

    def cut(self) -> None:
        self.connection.close()

    def resume(self, number: int) -> int:
        """Go on at server `number` after the last event read."""
        start = self.start
        last = str(self.events[-1][0])
        token = start["sessionToken"]
        path = f"/api/widget/chat/stream/{start['traceId']}"
        return self.open(number, "GET", path, **{"x-session-token": token, "last-event-id": last})

    @property
    def start(self) -> dict[str, Any]:
        return json.loads(self.events[0][2])

    @property
    def text(self) -> str:
        return "".join(data for _, name, data in self.events if name == "chunk")

    @property
    def complete(self) -> bool:
        """Nothing is missing and nothing came twice."""
        return [id for id, _, _ in self.events] == list(range(1, len(self.events) + 1))


def with_cuts(product: Pair, question: str, moods: random.Random) -> tuple[Reader, int]:
    """Read an answer with random cuts, each resumed at a random server; how many cuts there were."""
    reader, cuts = product.ask(moods.randrange(2), question), 0
    while not reader.read(moods.randint(1, 8)):
        reader.cut()
        cuts += 1
        time.sleep(moods.uniform(0, 0.1))
        status = reader.resume(moods.randrange(2))
        assert status == 200, reader.response.read()
    return reader, cuts
