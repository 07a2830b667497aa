"""The search runs while the question's rows are written, and is not made for nothing."""

import threading
from typing import Any

import numpy as np
import pytest

from chat.workflow import log
from chat.workflow.state import Question, Reserved
from knowledge.embeddings.local import MiniLm
from tenants.models import Client
from tests.chat.conversation import QUESTION, chat
from tests.contracts.llm_server import LlmServer

pytestmark = pytest.mark.django_db(transaction=True)


class Embedded(list[str]):
    """The questions whose vectors were made, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    async def __call__(self, embedder: MiniLm, text: str) -> np.ndarray:
        self.append(text)
        self.begun.set()
        return await EMBED(embedder, text)


EMBED = MiniLm.embed_question


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Embedded:
    embedded = Embedded()
    monkeypatch.setattr(MiniLm, "embed_question", lambda embedder, text: embedded(embedder, text))
    return embedded


async def test_the_rows_are_written_while_the_search_runs(
    shop: Client, acme_key: str, provider: LlmServer, embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = log.reserve

    def reserve_late(question: Question) -> Reserved:
        assert embedded.begun.wait(10)
        return reserve(question)

    monkeypatch.setattr(log, "reserve", reserve_late)
    whole = await chat(acme_key)
    assert whole.json["sources"] and embedded == [QUESTION]


async def test_nothing_is_searched_for_in_vain(
    shop: Client, acme_key: str, provider: LlmServer, embedded: Embedded
) -> None:
    async def ask(message: str, **more: Any) -> dict[str, Any]:
        return (await chat(acme_key, {"message": message, **more})).json

    await ask("Hello!")
    assert embedded == []
    session = (await ask(QUESTION))["sessionId"]
    await ask(QUESTION)
    assert embedded == [QUESTION]
    await ask("And worn outdoors?", sessionId=session)
    assert len(embedded) == 2 and embedded[1] != "And worn outdoors?"
