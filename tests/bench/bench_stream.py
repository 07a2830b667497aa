"""Streaming through the whole product, on PostgreSQL and Redis and on the embedded default, against the provider
called directly and against a bare relay.

Goals, on a quiet machine: at most 10 / 15 / 150 ms to the first piece added at 1 / 50 / 200 visitors (15 with one on
the embedded default); at most 15 ms of CPU for a stream of 50 pieces; the whole answer at most 1.08 times its ideal
length at 200 visitors.
"""

import json
import os
from pathlib import Path

from tests.bench import stage
from tests.bench.load import Plan

FIRST, GAP, PIECES = 0.2, 0.02, 50  # seconds, seconds, pieces
IDEAL = FIRST + GAP * (PIECES - 1)
ROUNDS = ((1, 8), (50, 4), (200, 3))  # (visitors, questions of each)
ADDED = {("product", 1): 10, ("product", 50): 15, ("product", 200): 150, ("embedded", 1): 15}  # goals: ms
CPU, WHOLE = 15, 1.08


def main() -> None:
    with stage.workplace() as directory, stage.provider(directory, FIRST, GAP, PIECES) as provider:
        json_headers = {"content-type": "application/json"}
        body = json.dumps({"model": "bench", "stream": True, "messages": [{"role": "user", "content": "Boots {n}?"}]})
        direct = Plan(provider.port, "/v1/chat/completions", json_headers, body, "Boots", "[DONE]", 1, 1)
        print(
            f"{'':9}{'visitors':>9}{'first ms':>10}{'p95':>8}{'added':>8}{'goal':>15}"
            f"{'whole/ideal':>13}{'goal':>15}{'CPU ms/stream':>15}{'goal':>13}"
        )
        base = {visitors: measure("direct", direct, provider, visitors, asks, None) for visitors, asks in ROUNDS}
        with stage.relay(directory, provider.port) as relay:
            plan = Plan(relay.port, "/chat", json_headers, body, "Boots", "[DONE]", 1, 1)
            stage.run_load(stage.with_visitors(plan, 5, 2, 0))
            for visitors, asks in ROUNDS if not os.environ.get("BENCH_PROFILE") else ():
                measure("relay", plan, relay, visitors, asks, base[visitors])
        with stage.environment(directory, provider.port) as settings:
            visit("product", directory, settings, base)
        embedded = directory / "embedded"
        visit("embedded", embedded, stage.migrated(embedded, provider.port), base)


def visit(name: str, directory: Path, settings: dict[str, str], base: dict[int, float]) -> None:
    """The rows of one product. `base`: the direct call's ms to the first piece, by visitors."""
    with stage.product(directory, settings) as product:
        _, key = stage.make_client(settings, product.port)
        headers = {"content-type": "application/json", "x-api-key": key}
        body = json.dumps({"message": "How many days do I have to return boots number {n}?"})
        plan = Plan(product.port, "/api/widget/chat/stream", headers, body, "event: chunk", "event: done", 1, 1)
        stage.run_load(stage.with_visitors(plan, 10, 2, 1_000_000))
        if os.environ.get("BENCH_PROFILE"):
            print("profile:", product.pid, flush=True)
        for number, (visitors, asks) in enumerate(ROUNDS):
            measure(name, plan, product, visitors, asks, base[visitors], 10_000 * (number + 1))


def measure(
    name: str, plan: Plan, server: stage.Served, visitors: int, asks: int, base: float | None, seed: int = 0
) -> float:
    """Print a row of the table; returns the median to the first piece in ms."""
    before = server.cpu()
    seen = stage.run_load(stage.with_visitors(plan, visitors, asks, seed))
    cpu = (server.cpu() - before) / max(1, len(seen.whole)) * 1000
    median = stage.ms(seen.first)
    added = 0.0 if base is None else median - base
    whole = stage.ms(seen.whole) / 1000 / IDEAL
    goals = ["", "", ""]
    if (name, visitors) in ADDED:
        goals[0] = stage.judged(added, ADDED[name, visitors])
    if name in ("product", "embedded"):
        goals[1:] = stage.judged(whole, WHOLE), stage.judged(cpu, CPU)
    row = f"{name:9}{visitors:>9}{median:>10.1f}{stage.ms(seen.first, 95):>8.0f}{added:>8.1f}{goals[0]:>15}"
    row += f"{whole:>13.3f}{goals[1]:>15}{cpu:>15.1f}{goals[2]:>13}"
    print(row, flush=True)
    if seen.failures:
        print(f"  {len(seen.failures)} failed: {seen.failures[0]}", flush=True)
    return median


if __name__ == "__main__":
    main()
