"""What chat counts: once per answer, never per piece."""

from typing import TYPE_CHECKING

from django.conf import settings

from chat.llms import EXTRACTIVE, MODELS, Usage
from tenants.metrics import Counter, Gauge, Histogram, series
from tenants.models import Client

if TYPE_CHECKING:
    from chat.workflow.state import Result, Run

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120)

REQUESTS = Counter(
    "support_chat_requests",
    "Chat requests by door, tier and outcome: how the answer ended, or the error's code where none began",
    ["door", "tier", "outcome"],
)
FIRST_TOKEN = Histogram(
    "support_chat_first_token_seconds", "From a question's reservation to the first piece", ["source"], buckets=SECONDS
)
LAST_TOKEN = Histogram(
    "support_chat_last_token_seconds", "From a question's reservation to the last piece", ["source"], buckets=SECONDS
)
TOKENS = Counter("support_chat_llm_tokens", "Tokens that language models read and wrote", ["model", "kind"])
CACHE = Counter("support_chat_answer_cache", "Questions looked up among earlier answers", ["result"])
RUNNING = Gauge("support_chat_answers_running", "Answers under way in this process")


def count_request(door: str, client: Client | None, outcome: str) -> None:
    """A request that is over. `client`: None where it was refused before its client was known."""
    series(REQUESTS, door, client.tier if client else "unknown", outcome).inc()


def count_answer(run: "Run") -> None:
    """An answer that has ended, however it ended."""
    result = run.result
    count_request(run.question.door, run.question.client, result.outcome)
    source = _source(result)
    if result.first_token_ms is not None and result.last_token_ms is not None:
        series(FIRST_TOKEN, source).observe(result.first_token_ms / 1000)
        series(LAST_TOKEN, source).observe(result.last_token_ms / 1000)
    for usage in (result.usage, result.rewriting):
        if usage is not None:
            _count_tokens(usage)


def _source(result: "Result") -> str:
    """`model`: written by one; `cache`: an earlier answer; `fixed`: a greeting or an honest refusal."""
    if result.cached:
        return "cache"
    return "model" if result.usage is not None else "fixed"


def _count_tokens(usage: Usage) -> None:
    model = _model(usage.model)
    for kind, tokens in (
        ("prompt", usage.prompt_tokens),
        ("completion", usage.completion_tokens),
        ("cache_read", usage.cache_read_tokens),
        ("cache_write", usage.cache_write_tokens),
    ):
        if tokens:
            series(TOKENS, model, kind).inc(tokens)


def _model(name: str) -> str:
    """A client may have any model of the operator's own server: those that the settings don't name are `other`."""
    known = name in MODELS or name in (settings.FREE_MODEL, settings.PAID_MODEL, EXTRACTIVE.id)
    return name if known else "other"
