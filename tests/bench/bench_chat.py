"""Whole answers with instant providers of answers and of embeddings, against a bare relay of the same answer, and
against the bare parts of one, which ask the same of the same services.

Goals, on a quiet machine: at most 5 ms of CPU uncached and 2 ms cached, at least 200 requests a second, and uncached at
most twice the CPU of the parts.
"""

import json
import time
from collections.abc import Mapping
from types import MappingProxyType

from tests.bench import stage
from tests.bench.load import Plan

VISITORS, ASKS = 16, 20
QUESTION = json.dumps({"message": "How many days do I have to return boots number {n}?"})
NOTHING: Mapping[str, float] = MappingProxyType({})
# name, question, goals: ms of CPU, times that of the parts, requests a second
KINDS = (
    ("greeting", json.dumps({"message": "hello"}), {"cpu": 2, "rate": 200}),
    ("cached", QUESTION.replace("{n}", "1000000"), {"cpu": 2, "rate": 200}),
    ("uncached", QUESTION, {"cpu": 5, "parts": 2, "rate": 200}),
)


def main() -> None:
    with (
        stage.workplace() as directory,
        stage.provider(directory, 0, 0, 50) as provider,
        stage.embedder(directory) as embedder,
        stage.relay(directory, provider.port) as relay,
    ):
        print(
            f"{'':10}{'CPU ms':>9}{'goal':>14}{'of relay':>10}{'of parts':>10}{'goal':>13}{'requests/s':>12}"
            f"{'goal':>15}{'p50 ms':>9}{'p95 ms':>9}"
        )
        body = json.dumps({"model": "bench", "stream": True, "messages": [{"role": "user", "content": "Boots {n}?"}]})
        plan = Plan(relay.port, "/chat", {"content-type": "application/json"}, body, "Boots", "[DONE]", 1, 1, 0, 0)
        stage.run_load(stage.with_visitors(plan, 5, 2, 0))
        base = {"relay": measure("relay", plan, relay)}
        vectors = {
            "OPENAI_API_KEY": "sk-bench",
            "EMBEDDING_MODEL": "text-embedding-3-small",
            "EMBEDDING_BASE_URL": f"http://127.0.0.1:{embedder.port}/v1",
        }
        with stage.environment(directory, provider.port, **vectors) as settings:
            with stage.parts(directory, settings) as parts:
                plan = Plan(parts.port, "/chat", {}, QUESTION, "traceId", "sessionToken", 1, 1, 0, 0)
                stage.run_load(stage.with_visitors(plan, 10, 2, 1_000_000))
                base["parts"] = measure("parts", plan, parts, base)
            with stage.product(directory, settings) as product:
                _, key = stage.make_client(settings, product.port)
                headers = {"content-type": "application/json", "x-api-key": key}
                plan = Plan(product.port, "/api/widget/chat", headers, QUESTION, "traceId", "sessionToken", 1, 1, 0, 0)
                stage.run_load(stage.with_visitors(plan, 10, 2, 1_000_000))
                for name, plan.body, goals in KINDS:
                    measure(name, plan, product, base, goals)


def measure(
    name: str,
    plan: Plan,
    server: stage.Served,
    base: Mapping[str, float] = NOTHING,
    goals: Mapping[str, float] = NOTHING,
) -> float:
    """Print a row of the table; returns ms of CPU a request. `base`: those of the relay and of the parts."""
    before, began = server.cpu(), time.perf_counter()
    seen = stage.run_load(stage.with_visitors(plan, VISITORS, ASKS, 0))
    seconds = time.perf_counter() - began - stage.LOAD_START_SECONDS
    count = len(seen.whole)
    cpu, rate = (server.cpu() - before) / max(1, count) * 1000, count / seconds
    times = {of: cpu / theirs for of, theirs in base.items()}
    told = {of: f"{ratio:.1f}x" for of, ratio in times.items()}
    values = {"cpu": cpu, "rate": rate, **times}
    judged = {of: stage.judged(values[of], goal, at_least=of == "rate") for of, goal in goals.items()}
    print(
        f"{name:10}{cpu:>9.1f}{judged.get('cpu', ''):>14}{told.get('relay', ''):>10}{told.get('parts', ''):>10}"
        f"{judged.get('parts', ''):>13}{rate:>12.0f}{judged.get('rate', ''):>15}"
        f"{stage.ms(seen.whole):>9.1f}{stage.ms(seen.whole, 95):>9.1f}",
        flush=True,
    )
    if seen.failures:
        print(f"  {len(seen.failures)} failed: {seen.failures[0]}", flush=True)
    return cpu


if __name__ == "__main__":
    main()
