"""What is held of a budget is never less than what the call then costs."""

import uuid
from dataclasses import replace
from decimal import Decimal

import pytest
from django.utils import timezone
from pytest_django import Settings

from billing.limits import full_hour
from chat import llms, prompts
from chat.llms import MODELS, Model, Turn, Usage
from chat.workflow.most import most_it_can_cost
from chat.workflow.state import Question
from knowledge import passages, tokens
from tenants.models import Client
from tests.chat.passages import passage

SAID = {"English": "How long may I keep the boots? ", "Chinese": "靴子可以保留多久？", "emoji": "👩‍👩‍👧🥾⛺️ "}


def asked(text: str, **client: object) -> Question:
    asker = Client(name="Acme", tier="paid", **client)
    return Question(
        client=asker, session_id=uuid.uuid4(), new_session=False, trace_id=uuid.uuid4(), text=text, at=timezone.now(),
        admission=full_hour(asker),
    )  # fmt: skip


@pytest.mark.parametrize("language", SAID)
@pytest.mark.parametrize("name", ["claude-sonnet-4-5", "claude-sonnet-5-5", "gpt-4o-mini", "gpt-6-luna"])
def test_no_prompt_costs_more_than_was_held(name: str, language: str, settings: Settings) -> None:
    settings.ANTHROPIC_API_KEY = settings.OPENAI_API_KEY = "sk-test"
    settings.PAID_MODEL = name
    text = (SAID[language] * 400)[:2000]
    question = asked(text, instructions=text)
    model = llms.choose(question.client)
    history = [Turn("visitor" if n % 2 == 0 else "assistant", text * 3) for n in range(8)]
    longest = text * 10
    while tokens.count(longest) > passages.TOKENS:
        longest = longest[: len(longest) * 9 // 10]
    prompt = prompts.build(question.client, text, [passage(longest)], history, context=model.context)
    turns = [turn.text[: prompts.LONGEST_TURN] for turn in prompt.history]
    used = sum(map(tokens.count, [prompt.system, text, longest, *turns])) * model.token_factor
    usage = Usage(
        model.id, prompt_tokens=round(used), cache_write_tokens=round(used), completion_tokens=prompt.max_tokens
    )
    assert llms.cost(usage, model) <= most_it_can_cost(question, history)


def test_an_ordinary_first_question_holds_a_few_cents(settings: Settings) -> None:
    settings.ANTHROPIC_API_KEY = "sk-test"
    settings.PAID_MODEL = "claude-sonnet-4-5"
    assert Decimal("0.02") < most_it_can_cost(asked("How long may I keep the boots?"), ()) < Decimal("0.06")


def test_the_dearer_model_counts_where_it_may_stand_in(settings: Settings) -> None:
    settings.ANTHROPIC_API_KEY = settings.OPENAI_API_KEY = "sk-test"
    question = replace(asked("Boots?"), client=Client(name="Acme", tier="free"))
    settings.FALLBACK_TO_OTHER_PROVIDER = False
    alone = most_it_can_cost(question, ())
    settings.FALLBACK_TO_OTHER_PROVIDER = True
    assert most_it_can_cost(question, ()) > 5 * alone


def test_the_offline_answerer_is_free_and_an_unknown_price_is_not_guessed(settings: Settings) -> None:
    assert most_it_can_cost(asked("Boots?"), ()) == 0
    settings.OPENAI_BASE_URL = "http://127.0.0.1:1/v1"
    settings.PAID_MODEL = "llama"
    assert "llama" not in MODELS and isinstance(llms.find("llama"), Model)
    assert most_it_can_cost(asked("Boots?"), ()) is None
