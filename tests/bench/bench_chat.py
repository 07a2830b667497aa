"""Whole answers with an instant provider: requests a second and CPU a request, from the model and from the cache.

Goals, on a quiet machine: at most 5 ms of CPU uncached and 2 ms cached, at least 200 requests a second.
"""

import json
import time

from tests.bench import stage
from tests.bench.load import Plan

VISITORS, ASKS = 16, 20


def main() -> None:
    with (
        stage.workplace() as directory,
        stage.provider(directory, 0, 0, 50) as provider,
        stage.environment(directory, provider.port) as settings,
        stage.product(directory, settings) as product,
    ):
        _, key = stage.make_client(settings, product.port)
        headers = {"content-type": "application/json", "x-api-key": key}
        question = json.dumps({"message": "How many days do I have to return boots number {n}?"})
        plan = Plan(product.port, "/api/widget/chat", headers, question, "traceId", "sessionToken", 1, 1)
        stage.run_load(stage.with_visitors(plan, 10, 2, 1_000_000))
        print(f"{'':10}{'requests/s':>12}{'CPU ms':>9}{'p50 ms':>9}{'p95 ms':>9}")
        measure("uncached", plan, product)
        plan.body = question.replace("{n}", "1000000")
        measure("cached", plan, product)


def measure(name: str, plan: Plan, product: stage.Served) -> None:
    before, began = product.cpu(), time.perf_counter()
    plan.spread = 0
    seen = stage.run_load(stage.with_visitors(plan, VISITORS, ASKS, 0))
    seconds = time.perf_counter() - began - stage.LOAD_START_SECONDS
    count = len(seen.whole)
    cpu = (product.cpu() - before) / max(1, count) * 1000
    p50, p95 = stage.ms(seen.whole), stage.ms(seen.whole, 95)
    print(f"{name:10}{count / seconds:>12.0f}{cpu:>9.1f}{p50:>9.1f}{p95:>9.1f}", flush=True)
    if seen.failures:
        print(f"  {len(seen.failures)} failed: {seen.failures[0]}", flush=True)


if __name__ == "__main__":
    main()
