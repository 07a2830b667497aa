"""The most that a question's model calls can cost, to be held of a monthly budget before they are made."""

from collections.abc import Sequence
from decimal import Decimal

from django.conf import settings

from chat import llms, prompts, rules
from chat.llms import Model, Turn
from chat.llms.choice import of_other_provider
from chat.llms.registry import MILLION, Prices
from chat.workflow.state import Question
from knowledge import passages

RULES = (rules.RULES, rules.OWNER, rules.FENCE, rules.CITE_BY_MARK, rules.CITE_NATIVELY, rules.REWRITE)
RULES_BYTES = sum(len(text.encode()) for text in RULES)
ANSWER_TOKENS = llms.Prompt.max_tokens + prompts.REWRITE_TOKENS


def most_it_can_cost(question: Question, history: Sequence[Turn]) -> Decimal | None:
    """Dollars; None where the model has no known price. With every passage that fits, nothing read from a provider's
    cache, the longest answer, and by the dearer of the models that may be asked."""
    model = llms.choose(question.client)
    if model.prices == Prices() and model.provider != "extractive":
        return None
    other = of_other_provider(model) if settings.FALLBACK_TO_OTHER_PROVIDER else None
    said = [question.text, *(turn.text[: prompts.LONGEST_TURN] for turn in history[-prompts.LAST_TURNS :])]
    written = [question.client.instructions, *said, *said]  # what was said goes into both calls
    size = RULES_BYTES + sum(len(text.encode(errors="replace")) for text in written)  # a token has a byte at least
    return max(_most(each, size) for each in (model, other) if each)


def _most(model: Model, size: int) -> Decimal:
    """By `model`, for so many bytes and the passages; what a call writes to the cache may cost more than plain."""
    tokens = size + round(passages.TOKENS * model.token_factor)
    dearest = max(model.prices.input, model.prices.cache_write)
    return (tokens * dearest + ANSWER_TOKENS * model.prices.output) / MILLION
