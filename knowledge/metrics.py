"""What knowledge counts."""

import time
from typing import Any

from tenants import tracing
from tenants.metrics import Counter, Histogram, series

SEARCH = Histogram(
    "support_chat_search_seconds",
    "One search's parts: embedding the question, asking the index, reading the rows",
    ["part"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
EMBEDDING_CACHE = Counter("support_chat_embedding_cache", "Texts looked up among embedded ones", ["kind", "result"])
EMBEDDING_TOKENS = Counter("support_chat_embedding_tokens", "Tokens billed for embedding documents")
STAGE = Histogram(
    "support_chat_ingest_stage_seconds",
    "One attempt's stages",
    ["stage"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
ATTEMPTS = Counter("support_chat_ingest_attempts", "Attempts at documents by their end", ["file_type", "end"])
CALLBACKS = Counter("support_chat_callbacks", "Callbacks to Express that were tried", ["result"])


class timed:
    """`with timed(HISTOGRAM, label):` observes how long the block takes, also when it fails, and makes it a span."""

    __slots__ = ("_series", "_span", "_started")

    def __init__(self, histogram: Histogram, label: str):
        self._series, self._span = series(histogram, label), tracing.span(label)

    def __enter__(self) -> None:
        self._started = time.perf_counter()
        self._span.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._span.__exit__(*error)
        self._series.observe(time.perf_counter() - self._started)


def count_lookup(kind: str, found: int, asked: int) -> None:
    """Of `asked` texts `found` were known."""
    if found:
        series(EMBEDDING_CACHE, kind, "hit").inc(found)
    if asked > found:
        series(EMBEDDING_CACHE, kind, "miss").inc(asked - found)
