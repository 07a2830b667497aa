"""An answer outlives cut connections, killed processes and restarts, over real HTTP on two server processes."""

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.config.test_edge import frame, handshake
from tests.contracts.llm_server import LlmServer, openai_events, paced
from tests.flows.streams import Pair, pair, with_cuts

WORDS = [f"word{number} " for number in range(40)]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with LlmServer() as provider, pair(tmp_path_factory.mktemp("streams"), provider) as product:
        yield product


@pytest.fixture(autouse=True)
def _fifty_words_a_second(product: Pair) -> None:
    product.provider.script(paced(openai_events(WORDS), 0.05, 0.02))


@pytest.mark.parametrize("cuts", [40, pytest.param(500, marks=pytest.mark.soak)])
def test_cuts_lose_and_repeat_nothing(product: Pair, cuts: int) -> None:
    moods = [random.Random(seed) for seed in range(8)]
    made, readers = 0, []
    with ThreadPoolExecutor(len(moods)) as pool:
        while made < cuts:
            numbers = range(len(readers), len(readers) + len(moods))
            asked = pool.map(
                lambda n: with_cuts(product, f"How many days for boots {cuts}-{n}?", moods[n % 8]), numbers
            )
            for reader, count in asked:
                readers.append(reader)
                made += count
    assert all(reader.complete and reader.text == "".join(WORDS) for reader in readers)
    assert {reader.events[-1][1] for reader in readers} == {"done"}
    product.wait_for_rest()
    stored = {trace: text for trace, _, text in product.answers()}
    assert all(stored[reader.start["traceId"]] == reader.text for reader in readers)


def test_a_killed_process_is_noticed_and_its_answer_billed_once(product: Pair) -> None:
    product.provider.script(paced(openai_events(WORDS * 10), 0.05, 0.05))
    reader = product.ask(0, "How many days for boots, killed?", **{"idempotency-key": "killed"})
    reader.read(6)
    product.servers[0].kill()
    product.servers[0].wait()
    reader.read()
    killed = time.monotonic()
    assert reader.resume(1) == 200 and reader.read()
    assert time.monotonic() - killed < 10
    assert reader.complete and reader.events[-1][1] == "error" and "interrupted" in reader.events[-1][2]
    product.wait_for_rest()
    trace = reader.start["traceId"]
    assert [row for row in product.answers() if row[0] == trace] == [(trace, "failed", reader.text)]
    product.provider.script(paced(openai_events(WORDS), 0.05, 0.02))
    again = product.ask(1, "How many days for boots, killed?", **{"idempotency-key": "killed"})
    assert again.read() and again.text == "".join(WORDS)
    ledger = product.rows(f"SELECT failed, exact FROM billing_usagerecord WHERE request_id = '{trace}'")
    assert ledger == [(False, False)] and product.rows("SELECT 1 FROM billing_reservation") == []
    product.start(0)


def test_a_stop_lets_answers_finish_and_sends_followers_elsewhere(product: Pair) -> None:
    product.provider.script(paced(openai_events(WORDS), 0.05, 0.1))
    own, foreign = product.ask(0, "How many days for boots, own?"), product.ask(1, "How many days for boots, foreign?")
    own.read(4)
    foreign.read(4)
    foreign.cut()
    assert foreign.resume(0) == 200
    foreign.read(2)
    far = product.ask(0, "How many days for boots, far?")
    far.read(2)
    far.cut()
    assert far.resume(1) == 200  # whose process ends has nobody to wait for
    with handshake(product, "/ws/widget/chat") as page:
        assert page.recv(4096).startswith(b"HTTP/1.1 101")
        page.sendall(frame(json.dumps({"type": "auth", "apiKey": product.key})))
        threading.Timer(0.2, lambda: product.servers[0].send_signal(signal.SIGTERM)).start()
        assert not foreign.read()  # cut off without a final event
        page.settimeout(30)
        told, goodbye = b"", b"\x88\x02" + (1012).to_bytes(2, "big")
        while goodbye not in told and (more := page.recv(4096)):
            told += more
        assert goodbye in told
    with pytest.raises(OSError):
        product.ask(0, "too late")
    assert foreign.resume(1) == 200 and foreign.read()
    assert own.read()
    assert far.read()
    for reader in (own, foreign, far):
        assert reader.complete and reader.text == "".join(WORDS) and reader.events[-1][1] == "done"
    assert product.servers[0].wait(10) == 0
    product.start(0)


def test_an_answer_nobody_follows_is_stopped_but_not_while_another_process_follows(product: Pair) -> None:
    product.provider.script(paced(openai_events(WORDS * 2), 0.05, 0.5))
    reader = product.ask(0, "How many days for boots, left?")
    reader.read(3)
    reader.cut()
    assert reader.resume(1) == 200
    began = time.monotonic()
    while time.monotonic() - began < 12:  # longer than ABANDONED_SECONDS
        assert not reader.read(1)
    request = product.provider.requests[-1]
    assert request.closed_at is None
    reader.cut()
    assert product.provider.wait_until_left(request, 18) > 9  # ABANDONED_SECONDS, wherever the last one followed
