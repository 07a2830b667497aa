"""Whole answers with instant providers of answers and of embeddings, against a bare relay of the same answer.

Goals, on a quiet machine: at most 5 ms of CPU uncached and 2 ms cached, at least 200 requests a second.
"""

import json
import time

from tests.bench import stage
from tests.bench.load import Plan

VISITORS, ASKS = 16, 20
QUESTION = json.dumps({"message": "How many days do I have to return boots number {n}?"})
# name, question, goal in ms of CPU, goal in requests a second
KINDS = (
    ("greeting", json.dumps({"message": "hello"}), 2, 200),
    ("cached", QUESTION.replace("{n}", "1000000"), 2, 200),
    ("uncached", QUESTION, 5, 200),
)


def main() -> None:
    with (
        stage.workplace() as directory,
        stage.provider(directory, 0, 0, 50) as provider,
        stage.embedder(directory) as embedder,
        stage.relay(directory, provider.port) as relay,
    ):
        print(
            f"{'':10}{'CPU ms':>9}{'of relay':>10}{'goal':>14}{'requests/s':>12}{'goal':>16}{'p50 ms':>9}{'p95 ms':>9}"
        )
        body = json.dumps({"model": "bench", "stream": True, "messages": [{"role": "user", "content": "Boots {n}?"}]})
        plan = Plan(relay.port, "/chat", {"content-type": "application/json"}, body, "Boots", "[DONE]", 1, 1, 0, 0)
        stage.run_load(stage.with_visitors(plan, 5, 2, 0))
        base = measure("relay", plan, relay)
        vectors = {
            "OPENAI_API_KEY": "sk-bench",
            "EMBEDDING_MODEL": "text-embedding-3-small",
            "EMBEDDING_BASE_URL": f"http://127.0.0.1:{embedder.port}/v1",
        }
        with (
            stage.environment(directory, provider.port, **vectors) as settings,
            stage.product(directory, settings) as product,
        ):
            _, key = stage.make_client(settings, product.port)
            headers = {"content-type": "application/json", "x-api-key": key}
            plan = Plan(product.port, "/api/widget/chat", headers, QUESTION, "traceId", "sessionToken", 1, 1, 0, 0)
            stage.run_load(stage.with_visitors(plan, 10, 2, 1_000_000))
            for name, plan.body, cpu_goal, rate_goal in KINDS:
                measure(name, plan, product, base, cpu_goal, rate_goal)


def measure(
    name: str, plan: Plan, server: stage.Served, base: float = 0, cpu_goal: float = 0, rate_goal: float = 0
) -> float:
    """Print a row of the table; returns ms of CPU a request."""
    before, began = server.cpu(), time.perf_counter()
    seen = stage.run_load(stage.with_visitors(plan, VISITORS, ASKS, 0))
    seconds = time.perf_counter() - began - stage.LOAD_START_SECONDS
    count = len(seen.whole)
    cpu, rate = (server.cpu() - before) / max(1, count) * 1000, count / seconds
    p50, p95 = stage.ms(seen.whole), stage.ms(seen.whole, 95)
    ratio = f"{cpu / base:.1f}x" if base else ""
    goals = (stage.judged(cpu, cpu_goal), stage.judged(rate, rate_goal, at_least=True)) if base else ("", "")
    print(f"{name:10}{cpu:>9.1f}{ratio:>10}{goals[0]:>14}{rate:>12.0f}{goals[1]:>16}{p50:>9.1f}{p95:>9.1f}", flush=True)
    if seen.failures:
        print(f"  {len(seen.failures)} failed: {seen.failures[0]}", flush=True)
    return cpu


if __name__ == "__main__":
    main()
