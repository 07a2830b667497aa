"""The models as data: who makes them, what they cost, how they like to be asked, when they end."""

import datetime
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from chat.llms.contract import Usage

log = logging.getLogger(__name__)
MILLION = Decimal(1_000_000)
WARN_BEFORE = datetime.timedelta(days=60)


@dataclass(frozen=True)
class Prices:
    """Dollars per million tokens."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cache_read: Decimal = Decimal(0)
    cache_write: Decimal = Decimal(0)

    def as_json(self) -> dict[str, str]:
        """For the ledger, which keeps the prices that a request was billed at."""
        return {name: str(getattr(self, name)) for name in ("input", "output", "cache_read", "cache_write")}


@dataclass(frozen=True)
class Model:
    """`provider` names the adapter. `extra` joins the request as it is. `min_cacheable` is the shortest prefix in
    tokens that the provider caches. `token_factor` is how many of its tokens one cl100k token makes (for estimates)."""

    id: str
    provider: str
    prices: Prices = Prices()
    context: int = 8_192  # of an unknown model: what small local ones have
    aliases: tuple[str, ...] = ()
    token_parameter: str = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)
    native_citations: bool = False
    min_cacheable: int = 0
    token_factor: float = 1.0
    retires: datetime.date | None = None
    successor: str | None = None


def _prices(input: str, output: str, cache_read: str, cache_write: str) -> Prices:
    return Prices(Decimal(input), Decimal(output), Decimal(cache_read), Decimal(cache_write))


EXTRACTIVE = Model("extractive", "extractive", context=1_000_000)

# Prices, context sizes and dates are the makers' published ones of November 2026. A cache write is priced for
# the five-minute cache. OpenAI's gpt-4o-mini caches by itself and charges nothing for the write.
_TABLE = (
    Model(
        "gpt-4o-mini",
        "openai",
        _prices("0.15", "0.60", "0.075", "0.15"),
        context=128_000,
        aliases=("gpt-4o-mini-2024-07-18",),
        extra={"temperature": 0.2},
        min_cacheable=1024,
        retires=datetime.date(2027, 1, 14),
        successor="gpt-6-luna",
    ),
    Model(
        "gpt-6-luna",
        "openai",
        _prices("0.10", "0.50", "0.01", "0.125"),
        context=272_000,  # beyond it the input costs twice as much
        token_parameter="max_completion_tokens",
        extra={"reasoning_effort": "none"},  # no thinking before the first token
        min_cacheable=1024,
    ),
    Model(
        "claude-sonnet-4-5",
        "anthropic",
        _prices("3", "15", "0.30", "3.75"),
        context=200_000,
        aliases=("claude-sonnet-4-5-20250929",),
        native_citations=True,
        min_cacheable=1024,
        token_factor=1.05,
        retires=datetime.date(2026, 11, 30),
        successor="claude-sonnet-5-5",
    ),
    Model(
        "claude-sonnet-5-5",
        "anthropic",
        _prices("2", "10", "0.20", "2.50"),
        context=1_000_000,
        extra={"thinking": {"type": "between_tools"}, "output_config": {"effort": "low"}},  # `disabled` is refused
        native_citations=True,
        min_cacheable=512,
        token_factor=1.35,  # its tokenizer makes about 30 % more tokens
    ),
    Model(
        "claude-haiku-5-5",
        "anthropic",
        _prices("0.10", "0.50", "0.01", "0.125"),
        context=100_000,  # beyond it everything costs five times as much
        native_citations=True,
        min_cacheable=1024,
        token_factor=1.35,
    ),
    EXTRACTIVE,
)
MODELS: dict[str, Model] = {name: model for model in _TABLE for name in (model.id, *model.aliases)}

_said: set[str] = set()  # models whose replacement was logged by this process
_gone: set[str] = set()  # models that their provider said it has no longer


def cost(usage: Usage, model: Model) -> Decimal:
    """Dollars for the tokens of one answer."""
    prices = model.prices
    plain = usage.prompt_tokens - usage.cache_read_tokens - usage.cache_write_tokens
    total = (
        plain * prices.input
        + usage.cache_read_tokens * prices.cache_read
        + usage.cache_write_tokens * prices.cache_write
        + usage.completion_tokens * prices.output
    )
    return total / MILLION


def current(model: Model, today: datetime.date) -> Model:
    """`model`, or the successor that stands in for it from its retirement on. Logged once a process."""
    while _has_ended(model, today) and model.successor:
        if model.id not in _said:
            _said.add(model.id)
            log.warning("The model %s is withdrawn; %s answers in its place.", model.id, model.successor)
        model = MODELS[model.successor]
    return model


def mark_gone(model: Model) -> None:
    """The provider said that it has this model no longer; `current` now gives its successor."""
    _gone.add(model.id)


def _has_ended(model: Model, today: datetime.date) -> bool:
    return model.id in _gone or (model.retires is not None and model.retires <= today)


def retirement_warnings(today: datetime.date, in_use: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each model in use that ends within 60 days or has ended. `in_use`: who uses it -> model id."""
    for user, name in in_use.items():
        model = MODELS.get(name)
        if model is None or model.retires is None or today < model.retires - WARN_BEFORE:
            continue
        when = "was withdrawn" if model.retires <= today else "will be withdrawn"
        sentence = f"{user} uses {name}, which {when} by its maker on {model.retires};"
        yield f"{sentence} {model.successor} answers from then on."
