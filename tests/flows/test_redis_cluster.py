"""Two server processes on a Redis Cluster, of which a primary dies while visitors ask."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.contracts.llm_server import LlmServer, openai_events, paced
from tests.flows.streams import Pair, Reader, pair
from tests.redis_cluster import PRIMARIES, Cluster, cluster

WORDS = [f"word{number} " for number in range(20)]
RECOVERY = 30.0  # seconds after the fault, without a hand


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), replicas=PRIMARIES) as found:
        yield found


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, redis: Cluster) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("streams")
    with LlmServer() as provider, pair(directory, provider, **redis.settings()) as product:
        provider.script(paced(openai_events(WORDS), 0.05, 0.03))
        yield product


def ask(product: Pair, question: str) -> tuple[int, float]:
    """An answer in one piece: status, and seconds."""
    started = time.monotonic()
    status, _ = product.json("POST", "/api/widget/chat", {"message": question}, x_api_key=product.key)
    return status, time.monotonic() - started


def resumed_elsewhere(product: Pair, question: str) -> Reader | None:
    """An answer whose reader changes the process in its middle; None where the other one can't go on with it."""
    reader = product.ask(0, question)
    reader.read(6)
    reader.cut()
    return reader if reader.resume(1) == 200 and reader.read() else None


def test_questions_are_answered_and_answers_go_on_in_another_process(product: Pair, redis: Cluster) -> None:
    assert ask(product, "How many days for boots, whole?")[0] == 200
    for number in range(4):  # on different nodes
        reader = resumed_elsewhere(product, f"How many days for boots, {number}?")
        assert reader and reader.complete and reader.text == "".join(WORDS) and reader.events[-1][1] == "done"
    assert product.json("GET", "/health")[1]["services"]["redis"] is True
    assert all(node.redis.info("keyspace")["db0"]["keys"] for node in redis.nodes[:PRIMARIES])


def test_while_a_primary_dies_every_question_is_answered(product: Pair, redis: Cluster) -> None:
    replies: list[tuple[int, float]] = []
    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            replies.append(ask(product, f"How many days for boots, {len(replies)} later?"))

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        held = product.ask(0, "How many days for boots, held?")
        held.read(4)
        with redis.nodes[0].dead():
            died = time.monotonic()
            assert held.read() and held.complete and held.text == "".join(WORDS)
            well = 0
            while well < 4:  # answers on different nodes
                reader = resumed_elsewhere(product, f"How many days for boots, {time.monotonic()}?")
                well = well + 1 if reader and reader.complete and reader.events[-1][1] == "done" else 0
                assert time.monotonic() - died < RECOVERY
            product.wait_until("/health", lambda body: body["services"]["redis"], RECOVERY)
    finally:
        over.set()
        visitor.join()
    assert {status for status, _ in replies} == {200}
    assert max(seconds for _, seconds in replies) < 10
