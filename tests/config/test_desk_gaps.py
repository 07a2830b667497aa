"""Content gaps at the desk: seen, answered and dismissed by support and the client's own people, nobody else."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from chat.gaps import answer, find
from chat.models import Gap, Message
from knowledge.documents import Upload, submit
from knowledge.models import Document
from tenants.models import Client, StaffMember
from tenants.scoping import client_scope
from tests.chat.questions_in_vain import asked
from tests.config.desk import MOST_QUERIES, audited, browser_of
from tests.config.test_desk_conversations import queries
from tests.knowledge.ingestion import work

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/chat/gap/"
SHIPPING = "Yes, we ship to Norway. Delivery of an order to Norway takes six days and costs 12 euros."


@pytest.fixture(autouse=True)
def _data(own_data: Path) -> None:
    """Vectors and files of each test are its own."""


@pytest.fixture
def gaps(acme: Client, stranger: Client) -> list[Gap]:
    """Acme's, most frequent first; the stranger has one, too."""
    for text in ("Do you ship to Norway?", "is delivery to norway possible", "Can I pay with PayPal?"):
        asked(acme, text)
    asked(stranger, "Do you ship to Norway?")
    find.group_all()
    with client_scope(acme.pk):
        return list(Gap.objects.all())


@pytest.fixture
def own(acme: Client) -> Browser:
    return browser_of("own", StaffMember.Role.CLIENT, acme)


def url(name: str, gap: Gap) -> str:
    return reverse(f"admin:chat_gap_{name}", args=(gap.pk,))


def listed(browser: Browser, query: str = "") -> list[int]:
    response = browser.get(LIST + query)
    assert response.status_code == 200
    return [gap.pk for gap in response.context["cl"].result_list]


def test_the_most_frequent_come_first_and_each_person_sees_their_own(gaps: list[Gap], own: Browser) -> None:
    pks = [gap.pk for gap in gaps]
    assert listed(own) == pks
    assert listed(own, "?q=PAYPAL") == pks[1:]
    assert listed(own, "?state=resolved") == []
    assert len(listed(browser_of("sue", StaffMember.Role.SUPPORT))) == 3
    assert browser_of("bill", StaffMember.Role.BILLING).get(LIST).status_code == 403
    page = own.get(LIST).content.decode()
    assert "Do you ship to Norway?" in page and "is delivery to norway" not in page


def test_a_gap_shows_its_questions_with_their_conversations(gaps: list[Gap], own: Browser, acme: Client) -> None:
    page = own.get(url("change", gaps[0])).content.decode()
    with client_scope(acme.pk):
        found = list(Message.objects.filter(role="visitor", text__icontains="norway").values_list("pk", "session_id"))
    for pk, session in found:
        assert f"/admin/chat/session/{session}/change/#turn-{pk}" in page
    assert "is delivery to norway possible" in page and "PayPal" not in page


def test_an_answer_goes_the_whole_way_from_the_desk(gaps: list[Gap], own: Browser, acme: Client) -> None:
    gap = gaps[0]
    form = {"question": "Do you ship to Norway?", "answer": SHIPPING}
    assert own.post(url("answer", gap), form)["Location"] == url("change", gap)
    first = own.get(url("progress", gap)).json()
    assert first == {"text": "The answer is being read: Waiting", "done": False}
    assert "data-poll" in own.get(url("change", gap)).content.decode()
    work()
    assert own.get(url("progress", gap)).json() == {"text": "Asking the questions again", "done": False}
    answer.follow_up()
    assert own.get(url("progress", gap)).json()["done"] is True
    page = " ".join(own.get(url("change", gap)).content.decode().split())
    assert "Written by own on" in page
    assert "Asked again: 2 of 2 questions are answered from it now." in page
    with client_scope(acme.pk):
        document = Document.objects.get()
    told = own.get(reverse("admin:knowledge_document_change", args=(document.pk,))).content.decode()
    assert "written by own on" in told and url("change", gap) in told
    assert listed(own) == [gaps[1].pk] and listed(own, "?state=resolved") == [gap.pk]
    [event] = audited(action="answer gap")
    assert (event.actor, event.client_id, event.after) == ("own", acme.pk, {"question": "Do you ship to Norway?"})


def test_an_answer_that_is_refused_is_told_why(gaps: list[Gap], own: Browser, acme: Client) -> None:
    page = own.post(url("answer", gaps[0]), {"question": "Norway?", "answer": " "}, follow=True).content.decode()
    assert "Write the question and its answer." in page
    with client_scope(acme.pk):
        assert not Document.objects.exists()


def test_an_answer_that_is_refused_is_still_in_the_form(gaps: list[Gap], own: Browser, acme: Client) -> None:
    Client.objects.filter(pk=acme.pk).update(tier=Client.Tier.FREE)
    for number in range(10):  # as many documents as the plan has
        submit(acme, Upload(f"d{number}", f"Text {number}.".encode(), "txt", "d.txt"))
    response = own.post(url("answer", gaps[0]), {"question": "Ship to Norway?", "answer": SHIPPING})
    page = response.content.decode()
    assert "documents" in str(*response.context["messages"])
    assert f">{SHIPPING}</textarea>" in page and 'value="Ship to Norway?"' in page


def test_an_answer_as_long_as_the_form_lets_it_be_is_taken(gaps: list[Gap], own: Browser) -> None:
    """A browser counts a line's end as one character, and sends two."""
    text = "We ship.\r\n" * (answer.LONGEST_ANSWER // 9)
    response = own.post(url("answer", gaps[0]), {"question": "Ship to Norway?", "answer": text})
    assert response["Location"] == url("change", gaps[0])
    assert own.get(url("progress", gaps[0])).json()["text"].startswith("The answer is being read")


def test_dismissed_and_reopened(gaps: list[Gap], own: Browser) -> None:
    assert own.post(url("dismiss", gaps[0]))["Location"] == LIST
    assert (listed(own), listed(own, "?state=dismissed")) == ([gaps[1].pk], [gaps[0].pk])
    own.post(url("reopen", gaps[0]))
    assert listed(own) == [gap.pk for gap in gaps]
    form = {"action": "dismiss_gaps", "_selected_action": [gap.pk for gap in gaps]}
    assert own.post(LIST, form).status_code == 302
    assert (listed(own), listed(own, "?state=all")) == ([], [gap.pk for gap in gaps])
    assert [event.action for event in audited()] == ["dismiss gap", "reopen gap", "dismiss gap", "dismiss gap"]


def test_strangers_and_the_billing_role_reach_no_gap(gaps: list[Gap], stranger: Client, acme: Client) -> None:
    other, biller = browser_of("o", "client", stranger), browser_of("b", "billing")
    form = {"question": "Norway?", "answer": SHIPPING}
    for name in ("answer", "dismiss", "reopen", "resolve"):
        assert [browser.post(url(name, gaps[0]), form).status_code for browser in (other, biller)] == [404, 403], name
    assert [browser.get(url("change", gaps[0])).status_code for browser in (other, biller)] == [404, 403]
    with client_scope(acme.pk):
        assert not Document.objects.exists()
        assert {gap.state for gap in Gap.objects.all()} == {"open"}


@pytest.mark.parametrize("rows", [1, 300])
def test_gaps_take_few_queries(acme: Client, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def flat(client_id: Any, texts: list[str]) -> tuple[str, list[Any]]:
        """Every text in a group of its own, but the first of all: the embedder is not what is measured."""
        import numpy as np

        return "m@512", [np.eye(512, dtype=np.float32)[int(text.split()[-1])] for text in texts]

    monkeypatch.setattr(find, "question_vectors", flat)
    for number in [*range(rows), 0]:
        asked(acme, f"What about the thing with this number {number}")
    find.group(acme.pk)
    with client_scope(acme.pk):
        assert (Gap.objects.count(), Gap.objects.first().asked) == (rows, 2)  # type: ignore[union-attr]
        first = Gap.objects.first()
    assert first is not None
    for browser in (browser_of("root", is_superuser=True), browser_of("own", "client", acme)):
        for path in (LIST, f"{LIST}?q=thing", f"{LIST}?state=all", url("change", first)):
            assert len(queries(browser, path)) <= MOST_QUERIES, path
