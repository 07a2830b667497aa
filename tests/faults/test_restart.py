"""A release without a moment's absence: the web processes behind the example's nginx are restarted one after the
other, while visitors ask over REST and follow streams, which they resume wherever they are cut."""

import http.client
import json
import signal
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.config.test_nginx import NGINX, nginx_before
from tests.contracts.llm_server import LlmServer, openai_events, paced
from tests.flows.streams import Pair, Reader, pair

pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx on this machine (CI installs one)")
WORDS = [f"word{number} " for number in range(30)]
ANSWER = "".join(WORDS)
WAYS = 3  # visitors of each kind
LONGEST = 10.0  # seconds for a reply, and between an event and the next


class AtTheEdge(Reader):
    """Reads through nginx, which chooses the process."""

    def __init__(self, product: Pair, port: int, trust: ssl.SSLContext):
        super().__init__(product, {"x-api-key": product.key, "content-type": "application/json"})
        self._port, self._trust = port, trust

    def open(self, number: int, method: str, path: str, body: str | None = None, **headers: str) -> int:
        self.connection = http.client.HTTPSConnection("localhost", self._port, timeout=LONGEST, context=self._trust)
        self.connection.request(method, path, body, {**self.headers, **headers})
        self.response = self.connection.getresponse()
        return self.response.status


def whole(reader: AtTheEdge) -> str:
    """An answer in one piece."""
    status = reader.open(0, "POST", "/api/widget/chat", question())
    body = json.loads(reader.response.read())
    return body["response"] if status == 200 else f"{status} {body}"


def streamed(reader: AtTheEdge) -> str:
    """An answer as it is written. Each visitor looks away once, so that it is followed on either process."""
    status = reader.open(0, "POST", "/api/widget/chat/stream", question())
    if status != 200:
        return f"{status} {reader.response.read().decode()}"
    ended, deadline = reader.read(5), time.monotonic() + LONGEST
    while not ended and time.monotonic() < deadline:
        reader.cut()
        if (status := reader.resume(0)) != 200:
            return f"resumed: {status} {reader.response.read().decode()}"
        ended = reader.read()
    good = reader.complete and reader.events[-1][1] == "done"
    return reader.text if good else f"not whole: {reader.events}"


def question() -> str:
    return json.dumps({"message": f"How many days for boots, {time.monotonic_ns()}?"})


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_release_fails_no_request_and_loses_no_word(tmp_path: Path) -> None:
    told: list[str] = []
    stop = threading.Event()

    def visit(ask: Callable[[AtTheEdge], str], port: int, trust: ssl.SSLContext) -> None:
        while not stop.is_set():
            try:
                told.append(ask(AtTheEdge(product, port, trust)))
            except (OSError, http.client.HTTPException, ValueError) as error:
                told.append(f"{ask.__name__}: {error!r}")

    with (
        LlmServer() as provider,
        pair(tmp_path, provider) as product,
        nginx_before(tmp_path, *product.ports) as (_, port, trust),
    ):
        provider.script(paced(openai_events(WORDS), 0.05, 0.03))
        for number in (0, 1):  # what a first search makes in the store is made
            assert product.ask(number, "How many days for boots?").read()
        threads = [threading.Thread(target=visit, args=(way, port, trust)) for way in (whole, streamed) * WAYS]
        for thread in threads:
            thread.start()
        try:
            for number in (0, 1):
                time.sleep(2)
                product.servers[number].send_signal(signal.SIGTERM)
                assert product.servers[number].wait(60) == 0
                product.start(number)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        product.wait_for_rest()
        stored = [text for _, outcome, text in product.answers() if outcome not in ("failed", "cancelled")]
    assert set(told) == {ANSWER}, [one for one in told if one != ANSWER]
    assert stored == [ANSWER] * (2 + len(told))
    print(f"{len(told)} answers during two restarts")
