"""Follow-ups are told from complete questions, and made to stand alone."""

import asyncio

import pytest

from chat import llms
from chat.llms import Turn
from chat.understanding import followups
from chat.understanding.followups import rewritten, standalone
from tests.contracts.llm_server import HANG, LlmServer, openai_events, status

HISTORY = [
    Turn("visitor", "How long can I return hiking boots?"),
    Turn("assistant", "30 days [1]."),
    Turn("visitor", "Thanks"),
    Turn("assistant", "You're welcome!"),
]


@pytest.mark.parametrize(
    "question",
    [
        "and for kids?",
        "What about sandals?",
        "How much is it?",
        "Is that free?",
        "Is it free for students?",
        "Is it open on Sundays?",
        "Why?",
        "And if they are worn?",
        "How much?",
        "Und für Kinder?",
        "Was kostet das?",
        "Gilt das auch für Sandalen?",
        "Et pour les enfants ?",
        "¿Y para niños?",
        "E para crianças?",
        "じゃあ、子供用は？",
    ],
)
def test_a_follow_up_is_searched_for_with_the_question_that_it_follows(question: str):
    assert standalone(question, HISTORY) == (f"How long can I return hiking boots? {question}", True)
    assert standalone(question, []) == (question, False)


@pytest.mark.parametrize(
    "question",
    [
        "How long does delivery take to Austria?",
        "Do you have a store in Berlin?",
        "Is there a discount for students?",
        "Is it possible to return sale items?",
        "Is it a problem if the soles are dirty?",
        "What are your opening hours?",
        "Which payment methods do you accept?",
        "Wie lange dauert der Versand nach Österreich?",
        "Gibt es einen Rabatt für Studenten?",
        "Quels sont les délais de livraison pour la Suisse ?",
        "¿Cuánto tarda el envío a Canarias?",
        "Can I pay with a gift card that was bought in your store?",
    ],
)
def test_a_complete_question_stays_as_it_is(question: str):
    assert standalone(question, HISTORY) == (question, False)


def test_a_follow_up_of_a_follow_up_goes_back_to_the_topic():
    history = [*HISTORY, Turn("visitor", "and for kids?"), Turn("assistant", "The same.")]
    assert standalone("how much is it?", history)[0] == "How long can I return hiking boots? how much is it?"


@pytest.fixture
def server(settings):
    with LlmServer() as running:
        settings.OPENAI_BASE_URL = running.openai_url
        llms.preload()
        yield running


async def asked(question: str):
    charged = [None]
    try:
        return *await rewritten(question, HISTORY, llms.find("gpt-4o-mini"), charged.append), charged[-1]
    finally:
        await llms.close()


async def test_who_leaves_in_the_middle_of_it_is_charged_for_it(server: LlmServer, monkeypatch):
    server.script([*openai_events(["How long "], finish=None), HANG])
    charged, calls = [], []
    monkeypatch.setattr(followups, "stream", lambda *prompt: calls.append(llms.stream(*prompt)) or calls[-1])
    asking = asyncio.create_task(rewritten("and for kids?", HISTORY, llms.find("gpt-4o-mini"), charged.append))
    for _ in range(500):
        if calls and calls[0].reached_model:
            break
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await llms.close()
    assert [(usage.model, usage.exact) for usage in charged] == [("gpt-4o-mini", False)]


async def test_a_model_rewrites_a_follow_up(server: LlmServer):
    server.script(openai_events(['"How long can I return', ' hiking boots for kids?"\n']))
    question, depends, usage = await asked("and for kids?")
    assert (question, depends) == ("How long can I return hiking boots for kids?", True)
    assert usage == llms.Usage("gpt-4o-mini", 812, 96)
    body = server.requests[0].body
    assert body["max_tokens"] == 120
    assert [message["role"] for message in body["messages"]][:2] == ["system", "user"]


async def test_a_complete_question_costs_no_call(server: LlmServer):
    assert await asked("How long does delivery take to Austria?") == (
        "How long does delivery take to Austria?",
        False,
        None,
    )
    assert server.requests == []


@pytest.mark.parametrize("trouble", [status(401), [HANG], openai_events(["x" * 1000])])
async def test_the_rule_serves_where_the_model_fails(server: LlmServer, trouble, monkeypatch):
    monkeypatch.setattr("chat.understanding.followups.SECONDS", 0.2)
    server.script(trouble)
    question, depends, _ = await asked("and for kids?")
    assert (question, depends) == ("How long can I return hiking boots? and for kids?", True)
