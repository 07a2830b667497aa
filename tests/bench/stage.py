"""What the benchmarks run on: the product, the fake provider and the bare relay, each a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import quantiles

from tests import services
from tests.bench.load import Plan, Seen

LOAD_START_SECONDS = 0.15  # of the load's own interpreter, about
ROOT = Path(__file__).resolve().parents[2]
SETUP = """
import sys
from tenants import keys
from tenants.models import Client
client = Client.objects.create(name="Bench", tier="paid", model="bench", hourly_limit=10**6)
print(client.pk, keys.mint(client.pk, "publishable")[1], file=sys.stderr)
"""
DOCUMENT = "\\n\\n".join(
    f"Our {kind} come in {number} colours. Every pair of {kind} can be returned within {20 + number} days, "
    f"if it was not worn. Postage for {kind} is paid by us above {30 + number} euros."
    for number, kind in enumerate(["boots", "tents", "jackets", "sleeping bags", "stoves", "maps", "ropes", "lamps"])
).replace("\\n", "\n")


@dataclass
class Served:
    """A running server under measurement."""

    pid: int
    port: int

    def cpu(self) -> float:
        """Seconds of CPU so far, with all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def process(command: list[str], port: int, environment: dict[str, str], log: Path) -> Iterator[Served]:
    with log.open("w") as output:
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            try:
                services.wait_for_port(port, 60)
            except TimeoutError:
                raise TimeoutError(log.read_text()) from None
            yield Served(child.pid, port)
        finally:
            child.terminate()
            try:
                child.wait(45)
            except subprocess.TimeoutExpired:
                child.kill()


@contextlib.contextmanager
def provider(directory: Path, first: float, gap: float, pieces: int) -> Iterator[Served]:
    port = services.free_port()
    command = [sys.executable, "-m", "tests.bench.provider", *map(str, (port, first, gap, pieces))]
    with process(command, port, dict(os.environ), directory / "provider.log") as served:
        yield served


@contextlib.contextmanager
def embedder(directory: Path) -> Iterator[Served]:
    """A provider of embeddings that answers at once."""
    port = services.free_port()
    command = [sys.executable, "-m", "tests.bench.embedder", str(port)]
    with process(command, port, dict(os.environ), directory / "embedder.log") as served:
        yield served


def relay(directory: Path, provider_port: int) -> contextlib.AbstractContextManager[Served]:
    return _uvicorn("relay", directory, {"PROVIDER": f"http://127.0.0.1:{provider_port}/v1"})


def parts(directory: Path, settings: dict[str, str]) -> contextlib.AbstractContextManager[Served]:
    """The bare parts of an answer; on settings from `environment`, of whose services it uses the same."""
    return _uvicorn("parts", directory, settings)


@contextlib.contextmanager
def _uvicorn(name: str, directory: Path, settings: dict[str, str]) -> Iterator[Served]:
    port = services.free_port()
    options = ["--port", str(port), "--log-level", "warning", "--backlog", "2048"]
    command = [sys.executable, "-m", "uvicorn", f"tests.bench.{name}:app", *options]
    with process(command, port, {**os.environ, **settings}, directory / f"{name}.log") as served:
        yield served


@contextlib.contextmanager
def environment(directory: Path, provider_port: int, **extra: str) -> Iterator[dict[str, str]]:
    """Settings of a product on a PostgreSQL and a Redis of its own, answering through the fake provider."""
    with services.postgres(directory / "postgres") as database, services.redis(directory / "redis") as redis:
        addresses = {
            "DATABASE_URL": services.with_role(database, "support_chat_bench", "bench"),
            "DATABASE_OWNER_URL": database,
            "REDIS_URL": redis,
        }
        yield migrated(directory, provider_port, **addresses, **extra)


def migrated(directory: Path, provider_port: int, **extra: str) -> dict[str, str]:
    """Settings of a product that is ready to start; on the embedded default where `extra` names no services."""
    elsewhere = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "QDRANT_URL")
    settings = {
        **{name: value for name, value in os.environ.items() if name not in elsewhere},
        "DATA_DIR": str(directory / "var"),
        "ENV_FILE": str(directory / ".env"),
        "SECRET_KEY": "bench-" + "k" * 50,
        "INTERNAL_API_SECRET": "bench-secret-0123456789-abcdefghijkl",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{provider_port}/v1",
        "EMBEDDING_MODEL": "all-minilm-l6-v2",
        "SESSION_REQUESTS_PER_MINUTE": "0",
        "LOG_LEVEL": "WARNING",
        **extra,
    }
    directory.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=settings, check=True)
    return settings


@contextlib.contextmanager
def product(directory: Path, settings: dict[str, str], name: str = "product") -> Iterator[Served]:
    """One server process; on settings from `environment`."""
    port = services.free_port()
    command = [sys.executable, "manage.py", "web", "--port", str(port)]
    with process(command, port, settings, directory / f"{name}.log") as served:
        yield served


def make_client(settings: dict[str, str], port: int) -> tuple[str, str]:
    """A client with a document, ready to answer: its id and its publishable key."""
    import base64
    import urllib.request

    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", SETUP]
    made = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)
    client_id, key = made.stderr.split()[-2:]
    headers = {"X-Internal-Secret": settings["INTERNAL_API_SECRET"], "Content-Type": "application/json"}
    data = base64.b64encode(DOCUMENT.encode()).decode()
    body = {"documentId": "d", "clientId": client_id, "fileType": "txt", "originalName": "d.txt", "fileData": data}
    root = f"http://127.0.0.1:{port}/api/widget"
    upload = urllib.request.Request(f"{root}/process-document", json.dumps(body).encode(), headers)
    urllib.request.urlopen(upload, timeout=30).read()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = urllib.request.Request(f"{root}/documents/d/status", headers=headers)
        if json.load(urllib.request.urlopen(status, timeout=30))["status"] == "completed":
            return client_id, key
        time.sleep(0.2)
    raise TimeoutError("the document was not ingested")


def run_load(plan: Plan) -> Seen:
    command = [sys.executable, "-m", "tests.bench.load", json.dumps(vars(plan))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Seen(**json.loads(done.stdout))


def judged(value: float, goal: float, *, at_least: bool = False) -> str:
    """A goal, and whether the value beside it reaches it."""
    reached = value >= goal if at_least else value <= goal
    return f"{'>=' if at_least else '<='} {goal:g}{'' if reached else ' MISSED'}"


def with_visitors(plan: Plan, visitors: int, asks: int, seed: int) -> Plan:
    return replace(plan, visitors=visitors, asks=asks, seed=seed)


def ms(values: list[float], percentile: int = 50) -> float:
    """Milliseconds at a percentile of seconds."""
    return 1000 * (quantiles(values, n=100, method="inclusive")[percentile - 1] if len(values) > 1 else values[0])


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="support-chat-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
