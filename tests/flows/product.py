"""The product as a process of its own, spoken to over HTTP; used by the flows."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services import free_port, wait_for_port

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "QDRANT_URL", "SECRET_KEY", "INTERNAL_API_SECRET")


@dataclass
class Product:
    """A running product: where it listens, its secrets, and what it printed at the start."""

    url: str
    environment: dict[str, str]
    pid: int = 0
    log: Path | None = None

    @property
    def secret(self) -> str:
        return self._generated("INTERNAL_API_SECRET")

    @property
    def banner(self) -> str:
        """What `serve` prints once it listens: a moment after its port can be reached."""
        assert self.log
        deadline = time.monotonic() + 30
        while "Ctrl-C" not in (printed := self.log.read_text()):
            assert time.monotonic() < deadline, printed
            time.sleep(0.05)
        return printed

    @property
    def widget_key(self) -> str:
        return re.search(r"pk_live_\w+", self.banner)[0]

    def _generated(self, name: str) -> str:
        if name in self.environment:
            return self.environment[name]
        env_file = Path(self.environment["ENV_FILE"]).read_text()
        return re.search(rf"^{name}=(.*)$", env_file, re.MULTILINE)[1]

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """(status, lower-case headers, body); `body` is sent as JSON unless it is bytes."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        names = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        request = urllib.request.Request(self.url + path, data=data, headers=names, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
        except urllib.error.HTTPError as error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def json(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        status, _, content = self.request(method, path, body, **headers)
        return status, json.loads(content) if content else None

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command beside the server."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300)

    def wait_until(self, path: str, done: Any, seconds: float = 60, **headers: str) -> Any:
        """Poll a JSON address until `done(body)`; the last body is in the error."""
        deadline = time.monotonic() + seconds
        while True:
            status, body = self.json("GET", path, **headers)
            if status == 200 and done(body):
                return body
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path}: {status} {body}")
            time.sleep(0.1)


@contextlib.contextmanager
def served(directory: Path, **settings: str) -> Iterator[Product]:
    """`manage.py serve` in `directory`, with no service but those in `settings`; stopped with Ctrl-C."""
    environment = {name: value for name, value in os.environ.items() if name not in SERVICES}
    environment |= {"DATA_DIR": str(directory / "var"), "ENV_FILE": str(directory / ".env"), "LOG_LEVEL": "WARNING"}
    environment |= settings
    port = free_port()
    log = directory / f"serve-{port}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_port(port, 60)
        yield Product(f"http://127.0.0.1:{port}", environment, process.pid, log)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, -signal.SIGINT, 130), log.read_text()


def events(stream: bytes) -> list[tuple[str, str]]:
    """(event, data) of a Server-Sent Events stream, read as the standard says."""
    found = []
    for frame in stream.decode().split("\n\n"):
        fields: dict[str, list[str]] = {}
        for line in frame.split("\n"):
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        if "event" in fields:
            found.append((fields["event"][0], "\n".join(fields.get("data", []))))
    return found
