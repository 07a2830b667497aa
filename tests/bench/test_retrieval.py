"""What a question costs: the search of a demo's knowledge, and of 100,000 passages of one client."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knowledge.vectors import Point
from knowledge.vectors.shards import Shards

pytestmark = pytest.mark.soak  # figures depend on the machine: `make bench` prints them

MODEL = "all-minilm-l6-v2@384"
WORDS = np.array([f"word{n}" for n in range(30_000)])


def knowledge(shards: Shards, client: uuid.UUID, passages: int, windows: int) -> None:
    """Passages of 60 words as frequent as in a language, with random vectors."""
    rng = np.random.default_rng(passages)
    for start in range(0, passages, 1_000):
        count = min(1_000, passages - start)
        vectors = rng.normal(size=(count, windows, 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        texts = WORDS[rng.zipf(1.2, (count, 60)) % len(WORDS)]
        shards.upsert(
            MODEL, client, [Point(uuid.uuid4(), 1, " ".join(t), v) for t, v in zip(texts, vectors, strict=True)]
        )


def milliseconds(run: Callable[[int], object], rounds: int, clock: Callable[[], float]) -> list[float]:
    times = []
    for round_number in range(rounds):
        started = clock()
        run(round_number)
        times.append((clock() - started) * 1000)
    return sorted(times)


def asking(shards: Shards, client: uuid.UUID) -> Callable[[int], object]:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(200, 384)).astype(np.float32)
    questions = [" ".join(words) for words in WORDS[rng.zipf(1.2, (200, 8)) % len(WORDS)]]
    return lambda n: shards.search(MODEL, client, vectors[n % 200], questions[n % 200], 40)


def test_search_of_a_demo(tmp_path: Path) -> None:
    shards, client = Shards(tmp_path), uuid.uuid4()
    knowledge(shards, client, 50, windows=3)
    times = milliseconds(asking(shards, client), 300, time.process_time)
    shards.close()
    print(f"search of 50 passages: {times[150]:.2f} ms of CPU")
    assert times[150] <= 1.0


@pytest.mark.parametrize("windows", [1, 3])
def test_search_of_100_000_passages_of_one_client(tmp_path: Path, windows: int) -> None:
    shards, client = Shards(tmp_path), uuid.uuid4()
    knowledge(shards, client, 100_000, windows)
    knowledge(shards, uuid.uuid4(), 5_000, windows)
    used = milliseconds(asking(shards, client), 200, time.process_time)
    times = milliseconds(asking(shards, client), 200, time.perf_counter)
    shards.close()
    print(
        f"search of 100,000 passages, {windows} windows each: "
        f"p50 {times[100]:.1f} ms, p95 {times[190]:.1f} ms (CPU {used[100]:.1f} and {used[190]:.1f} ms)"
    )
    assert times[190] <= 20
