"""Five hundred streams at once for three minutes: none is dropped, and each takes little memory."""

import json

import pytest

from tests.bench import stage
from tests.bench.load import Plan

STREAMS, ROUNDS = 500, 5
FIRST, GAP, PIECES = 0.2, 1.0, 38  # seconds, seconds, pieces: each answer takes 37 seconds
BYTES_A_STREAM = 200_000


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_five_hundred_streams_for_three_minutes() -> None:
    with stage.workplace() as directory, stage.provider(directory, FIRST, GAP, PIECES) as provider:
        limits = {"ADDRESS_REQUESTS_PER_MINUTE": "0", "VISITOR_ANSWERS_AT_ONCE": "0"}
        with (
            stage.environment(directory, provider.port, **limits) as settings,
            stage.product(directory, settings) as product,
        ):
            _, key = stage.make_client(settings, product.port)
            body = json.dumps({"message": "How many days do I have to return boots number {n}?"})
            headers = {"content-type": "application/json", "x-api-key": key}
            path = "/api/widget/chat/stream"
            plan = Plan(product.port, path, headers, body, "event: chunk", "event: done", 1, 1, spread=30)
            stage.run_load(stage.with_visitors(plan, 20, 1, 1_000_000))
            before = product.rss()
            seen = stage.run_load(stage.with_visitors(plan, STREAMS, ROUNDS, 0))
            grown = (product.rss() - before) / STREAMS
    print(f"first piece p95 {stage.ms(seen.first, 95):.0f} ms, {grown / 1000:.0f} kB a stream")
    assert seen.failures == [] and len(seen.whole) == STREAMS * ROUNDS
    assert grown <= BYTES_A_STREAM
