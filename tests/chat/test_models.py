"""Which model answers whom, what it costs, and who follows it when its maker withdraws it."""

import datetime
import logging
from decimal import Decimal

import pytest

from chat import llms
from chat.llms import choice, registry
from chat.llms.registry import MODELS, current
from tenants.models import Client

TODAY = datetime.date(2026, 11, 22)


@pytest.fixture(autouse=True)
def _calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_gone", set())
    monkeypatch.setattr(registry, "_said", set())
    monkeypatch.setattr(choice, "today", lambda: TODAY)


@pytest.fixture
def keys(settings) -> None:
    settings.OPENAI_API_KEY, settings.ANTHROPIC_API_KEY = "sk-o", "sk-a"


def chosen(tier: str, **fields: str) -> str:
    return llms.choose(Client(name="Acme", tier=tier, **fields)).id


def test_the_tier_chooses_and_the_client_s_own_model_wins(keys):
    assert chosen("free") == "gpt-4o-mini"
    assert chosen("paid") == "claude-sonnet-4-5"
    assert chosen("paid", model="claude-haiku-5-5") == "claude-haiku-5-5"
    assert chosen("free", model="claude-sonnet-5-5") == "claude-sonnet-5-5"


def test_a_model_whose_provider_is_not_configured_gives_way(settings):
    assert (chosen("free"), chosen("paid")) == ("extractive", "extractive")
    settings.OPENAI_API_KEY = "sk-o"
    assert (chosen("free"), chosen("paid")) == ("gpt-4o-mini", "gpt-4o-mini")
    assert chosen("free", model="claude-sonnet-5-5") == "gpt-4o-mini"
    settings.OPENAI_API_KEY, settings.ANTHROPIC_BASE_URL = "", "http://127.0.0.1:1"
    assert (chosen("free"), chosen("paid")) == ("claude-sonnet-4-5", "claude-sonnet-4-5")


def test_an_unknown_name_is_a_free_model_of_the_operator_s_own_server(settings, keys):
    assert chosen("free", model="llama3.2") == "gpt-4o-mini"  # OpenAI itself has no such model
    settings.OPENAI_BASE_URL = "http://127.0.0.1:11434/v1"
    assert chosen("free", model="llama3.2") == "llama3.2"
    own = llms.find("llama3.2")
    assert own is not None
    assert llms.cost(llms.Usage("llama3.2", 5000, 500), own) == 0


def test_settings_name_the_tiers_models(settings, keys):
    settings.PAID_MODEL, settings.FREE_MODEL = "gpt-6-luna", "extractive"
    assert (chosen("free"), chosen("paid")) == ("extractive", "gpt-6-luna")


@pytest.mark.parametrize(
    ("name", "last_day", "successor"),
    [("claude-sonnet-4-5", "2026-11-29", "claude-sonnet-5-5"), ("gpt-4o-mini-2024-07-18", "2027-01-13", "gpt-6-luna")],
)
def test_the_successor_answers_from_the_retirement_date_on(keys, monkeypatch, caplog, name, last_day, successor):
    day = datetime.date.fromisoformat(last_day)
    monkeypatch.setattr(choice, "today", lambda: day)
    assert chosen("paid", model=name) == MODELS[name].id
    monkeypatch.setattr(choice, "today", lambda: day + datetime.timedelta(days=1))
    with caplog.at_level(logging.WARNING):
        assert [chosen("paid", model=name) for _ in range(3)] == [successor] * 3
    assert len([record for record in caplog.records if successor in record.getMessage()]) == 1


def test_a_model_that_its_provider_has_no_longer_is_replaced_at_once():
    registry.mark_gone(MODELS["gpt-4o-mini"])
    assert current(MODELS["gpt-4o-mini"], TODAY).id == "gpt-6-luna"
    registry.mark_gone(MODELS["gpt-6-luna"])  # and has no successor: it stays, and its errors are told
    assert current(MODELS["gpt-4o-mini"], TODAY).id == "gpt-6-luna"


def test_every_successor_is_a_model_of_the_same_provider_that_lives_longer():
    for model in MODELS.values():
        if model.successor:
            assert MODELS[model.successor].provider == model.provider
            assert model.retires is not None
            assert (MODELS[model.successor].retires or datetime.date.max) > model.retires


def test_operators_are_warned_sixty_days_ahead():
    in_use = {"PAID_MODEL": "claude-sonnet-4-5", "FREE_MODEL": "gpt-4o-mini", "own": "llama3.2", "new": "gpt-6-luna"}
    assert list(llms.retirement_warnings(datetime.date(2026, 9, 30), in_use)) == []
    assert [text.split()[0] for text in llms.retirement_warnings(datetime.date(2026, 10, 1), in_use)] == ["PAID_MODEL"]
    assert list(llms.retirement_warnings(datetime.date(2026, 12, 1), in_use)) == [
        "PAID_MODEL uses claude-sonnet-4-5, which was withdrawn by its maker on 2026-11-30; "
        "claude-sonnet-5-5 answers from then on.",
        "FREE_MODEL uses gpt-4o-mini, which will be withdrawn by its maker on 2027-01-14; "
        "gpt-6-luna answers from then on.",
    ]


def test_cost_counts_plain_cached_and_produced_tokens_each_at_its_price():
    usage = llms.Usage("claude-sonnet-4-5", 10_000, 1_000, cache_read_tokens=6_000, cache_write_tokens=2_000)
    dollars = Decimal("0.006") + Decimal("0.0018") + Decimal("0.0075") + Decimal("0.015")
    assert llms.cost(usage, MODELS["claude-sonnet-4-5"]) == dollars
    assert MODELS["claude-sonnet-4-5"].prices.as_json() == {
        "input": "3",
        "output": "15",
        "cache_read": "0.30",
        "cache_write": "3.75",
    }
