"""The product on services that can be made to fail, visitors who go on asking, and what is expected of both."""

import contextlib
import http.client
import itertools
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

from tenants.errors import STATUS_OF
from tests.contracts.llm_server import LlmServer, openai_events
from tests.contracts.qdrant_server import SmallQdrant, small_qdrant
from tests.crowd import crowd
from tests.faults.proxy import Proxy, Target, proxy
from tests.flows.installation import Installation, installation
from tests.flows.product import events
from tests.flows.test_services import FINAL, make_client, send

LONGEST_REPLY = 10.0  # seconds
RECOVERY = 30.0  # seconds after the fault, without a hand
REST_VISITORS, STREAM_VISITORS = 2, 2
SERVICES = {"database", "qdrant", "redis", "anthropic", "openai"}
Reply = tuple[int, str, float]
numbers = itertools.count(1)


@dataclass
class Stage:
    """The product and the proxies before its services. `replies`: status, error code, seconds until something came."""

    product: Installation
    client: dict
    database: Proxy
    redis: Proxy
    qdrant: Proxy
    model: Proxy
    provider: LlmServer
    store: SmallQdrant
    replies: list[Reply] = field(default_factory=list)
    crowded: float = 1.0  # the slowest that the machine was during this fault

    def ask(self) -> Reply:
        """One question, answered in one piece; (status, error code or "", seconds). Status 0: nobody was there."""
        started = time.monotonic()
        try:
            with urllib.request.urlopen(self.question("/api/widget/chat"), timeout=60) as response:
                response.read()
                return response.status, "", time.monotonic() - started
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["error"]["code"], time.monotonic() - started
        except (OSError, http.client.HTTPException):
            return 0, "", time.monotonic() - started

    def follow(self) -> Reply:
        """One question, streamed: seconds until its first event, and how it ended."""
        started = time.monotonic()
        try:
            with urllib.request.urlopen(self.question("/api/widget/chat/stream"), timeout=60) as response:
                first = response.readline()
                seconds = time.monotonic() - started
                found = events(first + response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["error"]["code"], time.monotonic() - started
        except (OSError, http.client.HTTPException):
            return 0, "", time.monotonic() - started
        assert found[0][0] == "start", found
        name, data = found[-1]
        if name == "error":
            return 200, json.loads(data)["code"], seconds
        return (200 if name == "done" else 0), "", seconds

    def look(self) -> Reply:
        """One of the other things that pages, callers and probes ask for, in turn."""
        number = next(numbers)
        key, secret = {"x-api-key": self.client["publishableKey"]}, {"X-Internal-Secret": self.product.secret}
        places = [
            ("config", key),
            (f"documents/returns/status?clientId={self.client['clientId']}", secret),
            ("health", {}),
        ]
        path, headers = places[number % len(places)]
        request = urllib.request.Request(f"{self.product.url}/api/widget/{path}", headers=headers)
        started = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                response.read()
                return response.status, "", time.monotonic() - started
        except urllib.error.HTTPError as error:
            body, seconds = json.load(error), time.monotonic() - started
            if path == "health":
                assert (error.code, body["status"], set(body["services"])) == (503, "unhealthy", SERVICES), body
                return 503, "SERVICE_UNAVAILABLE", seconds
            return error.code, body["error"]["code"], seconds
        except (OSError, http.client.HTTPException):
            return 0, "", time.monotonic() - started

    def question(self, path: str) -> urllib.request.Request:
        body = json.dumps({"message": f"Question {next(numbers)}: how long may boots be returned?"}).encode()
        headers = {"Content-Type": "application/json", "x-api-key": self.client["publishableKey"]}
        return urllib.request.Request(self.product.url + path, data=body, headers=headers)

    @contextlib.contextmanager
    def visitors(self) -> Iterator[None]:
        """Visitors who ask, one question after the other, as long as the block runs."""
        stop = threading.Event()

        def visit(ask: Callable[[], Reply]) -> None:
            while not stop.is_set():
                self.replies.append(ask())
                time.sleep(0.1)

        ways = [self.ask] * REST_VISITORS + [self.follow] * STREAM_VISITORS + [self.look]
        threads = [threading.Thread(target=visit, args=(way,)) for way in ways]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def suffer(
        self,
        fault: "contextlib.AbstractContextManager[object]",
        seconds: float,
        *,
        longest: float = LONGEST_REPLY,
        absent: bool = False,
    ) -> str:
        """Ask and upload during a fault, and see that all is well again soon after it; a line for the table.

        `longest`: seconds that a reply may take. `absent`: the web process itself may be away.
        """
        self.replies.clear()
        self.crowded = crowd()
        name = f"during-{next(numbers)}"
        with self.visitors():
            time.sleep(0.5)
            with fault:
                uploaded = self.upload(name)
                time.sleep(seconds)
                self.crowded = max(self.crowded, crowd())
            healed = time.monotonic()
            answered = self.until_answered(healed)
            if not uploaded:
                assert self.upload(name), "the document was refused after the fault, too"
            ingested = self.until_ingested(name, healed)
        settled = self.until_settled(healed)
        self.judge(longest, absent)
        checked = self.product.manage("check_invariants")
        assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr
        told = Counter(f"{status} {code}".strip() for status, code, _ in self.replies)
        slowest = max(seconds for _, _, seconds in self.replies)
        return (
            f"{dict(told)}, slowest {slowest:.1f} s; answers after {answered:.1f} s, "
            f"document after {ingested:.1f} s, nothing open after {settled:.1f} s"
            f" (the machine {self.crowded:.1f} times slower than idle)"
        )

    def in_time(self, healed: float) -> bool:
        """Is there still time to recover? (A look at the machine now and then, should it have become slower.)"""
        if time.monotonic() > healed + RECOVERY * self.crowded:
            self.crowded = max(self.crowded, crowd())
        return time.monotonic() < healed + RECOVERY * self.crowded

    def judge(self, longest: float, absent: bool) -> None:
        """Every reply was one of the contract's, in time."""
        for status, code, seconds in self.replies:
            streamed = status == 200 and (not code or code in STATUS_OF)
            known = streamed or STATUS_OF.get(code) == status or (absent and status == 0)
            assert known, f"a reply that the contract doesn't know: {status} {code}"
            assert seconds < longest * self.crowded, f"{status} {code} came after {seconds:.1f} s"

    def upload(self, name: str) -> bool:
        try:
            send(self.product, self.client, name, f"{name}: gloves may be returned for 90 days.".encode())
        except (AssertionError, KeyError, OSError, urllib.error.URLError):  # KeyError: an error's body
            return False
        return True

    def until_answered(self, healed: float) -> float:
        in_a_row = 0
        while in_a_row < 3:
            in_a_row = in_a_row + 1 if self.ask()[0] == 200 else 0
            assert self.in_time(healed), self.replies[-10:]
        return time.monotonic() - healed

    def until_ingested(self, name: str, healed: float) -> float:
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):
                path = f"/api/widget/documents/{name}/status"
                status, body = self.product.json("GET", path, X_Internal_Secret=self.product.secret)
                if status == 200 and body["status"] in FINAL:
                    assert body["status"] == "completed", body
                    return time.monotonic() - healed
            assert self.in_time(healed), self.product.log()[-3000:]
            time.sleep(0.2)

    def until_settled(self, healed: float) -> float:
        """No answer is open and no request reserved."""
        query = (
            "SELECT (SELECT count(*) FROM chat_message WHERE outcome = 'running'),"
            " (SELECT count(*) FROM billing_reservation)"
        )
        while self.product.rows(query) != [(0, 0)]:
            assert self.in_time(healed), self.product.rows(query)
            time.sleep(0.2)
        return time.monotonic() - healed


@contextlib.contextmanager
def stage(directory: Path, **settings: str) -> Iterator[Stage]:
    """Everything behind a proxy of its own; limits that no test is about are off."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(small_qdrant())
        provider = stack.enter_context(LlmServer())
        provider.script(openai_events(["You have ", "60 days."]))
        database = stack.enter_context(proxy(postgres_address()))
        redis = stack.enter_context(proxy(_address(os.environ["REDIS_URL"])))
        qdrant = stack.enter_context(proxy(_address(store.url)))
        model = stack.enter_context(proxy(_address(provider.openai_url)))
        environment = {
            "DATABASE_URL": through(_with_name(os.environ["DATABASE_URL"], "faults"), database),
            "DATABASE_POOL_SIZE": "10",
            "REDIS_URL": through(os.environ["REDIS_URL"], redis),
            "QDRANT_URL": through(store.url, qdrant),
            "OPENAI_BASE_URL": through(provider.openai_url, model),
            "INGEST_LEASE_SECONDS": "4",
            "INGEST_RETRY_SECONDS": "1",
            "SESSION_REQUESTS_PER_MINUTE": "0",
            "ADDRESS_REQUESTS_PER_MINUTE": "0",
            **settings,
        }
        product = stack.enter_context(installation(directory, "faults", store, **environment))
        client = make_client(product)
        product.rows("SELECT 1")
        found = Stage(product, client, database, redis, qdrant, model, provider, store)
        send(product, client, "returns", b"Boots may be returned for 60 days if they were not worn outdoors.")
        found.until_ingested("returns", time.monotonic() + 600)
        assert {found.ask()[:2], found.follow()[:2]} == {(200, "")}  # and all is loaded that a first answer waits for
        yield found


def _address(url: str) -> Target:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def postgres_address() -> Target:
    """The tests' server listens on a port, or, from the wheel, on a Unix socket."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    directory = parse_qs(parts.query).get("host")
    return f"{directory[0]}/.s.PGSQL.5432" if directory else (parts.hostname or "", parts.port or 5432)


def through(url: str, between: Proxy) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{between.port}", query=""))


def _with_name(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
