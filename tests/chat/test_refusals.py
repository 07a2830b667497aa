"""A model that refuses without a word still leaves the visitor with an honest sentence."""

import datetime
import time
import uuid
from typing import Any

import pytest
from langgraph.runtime import Runtime

from billing.limits import Admission
from chat import llms
from chat.llms import choice, wire
from chat.models import Message
from chat.tape import Event
from chat.understanding.language import language_of
from chat.understanding.phrases import NO_ANSWER
from chat.workflow.generate import generate
from chat.workflow.state import Question, Reserved, Result, Run
from tenants.models import Client
from tests.chat.passages import passage
from tests.contracts.llm_server import LlmServer, Reply, anthropic_events, openai_events, status


class Events(list[Event]):
    """A tape of this test alone."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[str] = []

    def annotate(self, note: dict[str, Any]) -> None:
        self.models.append(note["model"])


async def generated(client: Client, text: str) -> tuple[Result, Events]:
    now = datetime.datetime.now(datetime.UTC)
    admission = Admission(limit=1, remaining=0, reset=0, overage=False, hour=now, at=now)
    question = Question(client, uuid.uuid4(), uuid.uuid4(), text, now, admission)
    tape = Events()
    run = Run(question, Reserved((), 1), tape, Result(), time.monotonic())
    state = {"passages": [passage("Shoes can be returned within 30 days.")], "query": text, "cache_key": ""}
    state["language"] = language_of(text)
    try:
        await generate(state, Runtime(context=run))
    finally:
        await llms.close()
    return run.result, tape


async def test_the_offline_answerer_s_refusal_is_said_in_the_visitor_s_language():
    result, tape = await generated(Client(name="Acme"), "Wer ist der Geschäftsführer?")
    assert (result.text, result.sources, result.outcome) == (NO_ANSWER["de"], [], Message.Outcome.REFUSED)
    assert "".join(event.data for event in tape) == NO_ANSWER["de"]


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize("pieces", [["[0]"], [" ", "\n"], ["[9]", " [", "0]"], ["<b></b>"]])
async def test_an_answer_without_a_word_is_a_refusal(settings, pieces, finish):
    with LlmServer() as server:
        settings.OPENAI_BASE_URL = server.openai_url
        server.script(openai_events(pieces, finish=finish))
        result, _ = await generated(Client(name="Acme", no_answer_text="Ask us by phone."), "Who is the director?")
    assert (result.text.strip(), result.sources, result.outcome) == ("Ask us by phone.", [], Message.Outcome.REFUSED)


async def test_the_tape_knows_whom_to_bill_for_when_another_model_stands_in(settings, monkeypatch):
    monkeypatch.setattr(wire, "FIRST_BACK_OFF", 0.01)
    monkeypatch.setattr(choice, "today", lambda: datetime.date(2026, 12, 1))
    settings.FALLBACK_TO_OTHER_PROVIDER = True
    with LlmServer() as server:
        settings.OPENAI_BASE_URL, settings.ANTHROPIC_BASE_URL = server.openai_url, server.anthropic_url
        server.script(*[status(500)] * wire.TRIES, Reply(anthropic_events(["Within 30 days."])))
        result, tape = await generated(Client(name="Acme", tier="free"), "Can I return shoes?")
    assert tape.models == ["gpt-4o-mini", "claude-sonnet-5-5"]  # the other tier's model was withdrawn the day before
    assert result.model is not None
    assert (result.model.id, result.text) == ("claude-sonnet-5-5", "Within 30 days.")


async def test_a_near_miss_is_a_question_without_an_answer_though_it_cites_what_is_near(settings):
    with LlmServer() as server:
        settings.OPENAI_BASE_URL = server.openai_url
        server.script(openai_events(["We take shoes back [1], of hats our documents ", "say nothing [0]."]))
        result, _ = await generated(Client(name="Acme"), "Can I return hats?")
    assert result.text == "We take shoes back [1], of hats our documents say nothing."
    assert [source["documentId"] for source in result.sources] == ["doc-0"]
    assert result.outcome == Message.Outcome.REFUSED


async def test_an_answer_that_met_the_model_s_limit_shows_that_it_was_cut(settings):
    with LlmServer() as server:
        settings.OPENAI_BASE_URL = server.openai_url
        server.script(openai_events(["Shoes can be returned within 30 days [1], if"], finish="length"))
        result, tape = await generated(Client(name="Acme"), "Can I return shoes?")
    assert result.text == "Shoes can be returned within 30 days [1], if …"
    assert "".join(event.data for event in tape) == result.text
    assert result.outcome == Message.Outcome.ANSWERED


@pytest.mark.parametrize(
    ("pieces", "said"), [([], "Ask us by phone."), (["I can't help with that."], "I can't help with that.")]
)
async def test_a_provider_s_refusal_is_said_in_the_client_s_words_unless_it_has_its_own(settings, pieces, said):
    with LlmServer() as server:
        settings.OPENAI_BASE_URL = server.openai_url
        server.script(openai_events(pieces, finish="content_filter"))
        result, _ = await generated(Client(name="Acme", no_answer_text="Ask us by phone."), "How do I pick a lock?")
    assert (result.text, result.sources, result.outcome) == (said, [], Message.Outcome.REFUSED)
    assert result.usage == llms.Usage("gpt-4o-mini", 812, 96)
