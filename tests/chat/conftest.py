"""A client that knows about boots, and a scripted provider."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from billing import budgets, plans
from billing.limits import hours, slots, store, visitors
from tenants.models import Client
from tests.contracts.llm_server import LlmServer, openai_events
from tests.knowledge.test_search import learn


@pytest.fixture
def fresh_limits() -> Iterator[None]:
    for module in (plans, budgets, hours, visitors, slots):
        module.forget()
    store.breaker.resting_until = 0.0
    yield
    plans.forget()


@pytest.fixture
def provider(settings: Settings) -> Iterator[LlmServer]:
    """Answers every question with one cited sentence, until it is told otherwise."""
    with LlmServer() as server:
        settings.OPENAI_BASE_URL = server.openai_url
        server.script(openai_events(["You have ", "60 days", " [1]."]))
        yield server


@pytest.fixture
def shop(transactional_db: None, fresh_limits: None, acme: Client, stranger: Client, settings: Settings) -> Client:
    """A client with a document about boots; its stranger has one, too. Nothing is cached."""
    settings.ANSWER_CACHE_SECONDS = 0
    settings.ABANDONED_SECONDS = 0
    learn(acme, "returns", "Boots can be returned within 60 days if they have not been worn outdoors.")
    learn(stranger, "returns", "Boots of the stranger can be returned within 7 days, to the stranger only.")
    return acme
