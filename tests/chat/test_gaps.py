"""What visitors asked in vain is grouped by meaning, answered by a person, and asked again."""

import itertools
import re
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from billing.models import UsageRecord
from chat.gaps import answer, find
from chat.gaps.grouping import Groups
from chat.models import Gap, GapQuestion, Message, Session
from knowledge import documents
from knowledge.embeddings import get_embedder
from knowledge.models import Document
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope, unscoped
from tests.chat.paraphrases import PARAPHRASES
from tests.chat.questions_in_vain import ANSWERED, asked
from tests.knowledge.ingestion import upload, work

pytestmark = pytest.mark.django_db(transaction=True)

NORWAY = PARAPHRASES[0]
PASSWORD = PARAPHRASES[2]
BOOTS = "Boots can be returned within 60 days of delivery if they were not worn outdoors."
SHIPPING = "Yes, we ship to Norway. Delivery of an order to Norway takes six days and costs 12 euros."


@pytest.fixture(autouse=True)
def _data(own_data: Path) -> None:
    """Vectors and files of each test are its own."""


def grouped(client: Client) -> list[tuple[int, str, set[str]]]:
    """(how often, state, questions) of each gap, in the desk's order."""
    with client_scope(client.pk):
        return [
            (gap.asked, gap.state, set(gap.questions.values_list("message__text", flat=True)))
            for gap in Gap.objects.all()
        ]


def test_questions_of_one_meaning_come_together_and_the_most_frequent_first(acme: Client, stranger: Client) -> None:
    for text in (*PASSWORD[:2], *NORWAY):
        asked(acme, text)
    asked(acme, "Do you have any red tents?", ANSWERED)
    asked(acme, "Are gift cards sold here?", ANSWERED, rating="down")
    asked(stranger, NORWAY[0])
    find.group_all()
    assert grouped(acme) == [
        (4, "open", set(NORWAY)),
        (2, "open", set(PASSWORD[:2])),
        (1, "open", {"Are gift cards sold here?"}),
    ]
    assert grouped(stranger) == [(1, "open", {NORWAY[0]})]


def test_grouping_again_changes_nothing_and_new_questions_join(acme: Client) -> None:
    asked(acme, NORWAY[0])
    assert find.group(acme.pk) == 1
    assert find.group(acme.pk) == 0
    asked(acme, NORWAY[1])
    assert find.group(acme.pk) == 1
    assert grouped(acme) == [(2, "open", set(NORWAY[:2]))]


async def test_paraphrases_are_found_and_other_topics_stay_apart() -> None:
    embed = get_embedder().embed_question
    labelled = [(topic, await embed(text)) for topic, texts in enumerate(PARAPHRASES) for text in texts]
    groups, found = Groups(384), []
    for topic, vector in labelled:
        key = groups.join(vector)
        if key is None:
            key = uuid.uuid4()
            groups.put(key, [vector])
        found.append((topic, key))
    pairs = [(a[0] == b[0], a[1] == b[1]) for a, b in itertools.combinations(found, 2)]
    right = sum(same and together for same, together in pairs)
    assert right / sum(same for same, _ in pairs) > 0.8
    assert right / sum(together for _, together in pairs) > 0.8


def test_a_follow_up_is_grouped_by_what_it_means(acme: Client) -> None:
    first = asked(acme, "Do you ship to Norway?", ANSWERED)
    asked(acme, "And how long?", session=first.session)
    asked(acme, "How long does shipping to Norway take?")
    find.group(acme.pk)
    assert grouped(acme) == [(2, "open", {"And how long?", "How long does shipping to Norway take?"})]


def test_what_is_grouped_is_sought_by_the_index_of_trace_ids(acme: Client) -> None:
    """Which begins with the client: without it each of thousands of answers would be compared with each question."""
    with unscoped("the test looks as the desk does"):
        sql = str(find._ungrouped(find._since()).query)
    inner = sql.partition("EXISTS(")[2]
    assert re.search(r"""U\d\."client_id" = \("chat_message"\."client_id"\) AND U\d\."trace_id" =""", inner), inner


def test_only_the_newest_of_the_last_days_count(acme: Client, settings: Settings) -> None:
    now = timezone.now()
    settings.GAP_DAYS, settings.GAP_QUESTIONS = 30, 2
    asked(acme, NORWAY[0], at=now - timedelta(days=31))
    asked(acme, NORWAY[1], at=now - timedelta(days=3))
    asked(acme, PASSWORD[0], at=now - timedelta(days=2))
    find.group(acme.pk)
    assert grouped(acme) == [(1, "open", {PASSWORD[0]}), (1, "open", {NORWAY[1]})]
    asked(acme, PASSWORD[1])
    find.group(acme.pk)
    assert grouped(acme) == [(2, "open", set(PASSWORD[:2]))]
    assert find.group(acme.pk) == 0


def test_what_the_visitor_takes_back_or_has_erased_is_gone(acme: Client) -> None:
    liked, erased = asked(acme, NORWAY[0], ANSWERED, rating="down"), asked(acme, PASSWORD[0])
    find.group(acme.pk)
    with client_scope(acme.pk):
        Message.objects.filter(pk=liked.pk).update(rating="up")
        Session.objects.filter(pk=erased.session_id).delete()
        assert GapQuestion.objects.count() == 1
    find.group(acme.pk)
    assert grouped(acme) == []


def test_another_embedding_model_embeds_the_questions_again(acme: Client) -> None:
    asked(acme, NORWAY[0])
    find.group(acme.pk)
    with client_scope(acme.pk):
        GapQuestion.objects.update(model="old@3", vector=bytes(12))
    asked(acme, NORWAY[1])
    find.group(acme.pk)
    assert grouped(acme) == [(2, "open", set(NORWAY[:2]))]


@pytest.fixture
def gap(acme: Client, stranger: Client) -> Gap:
    """Norway was asked about in vain; other knowledge is there, also a stranger's on this very question."""
    upload(acme, BOOTS, "returns")
    upload(stranger, "We never ship to Norway.", "shipping")
    work()
    for text in NORWAY[:2]:
        asked(acme, text)
    find.group(acme.pk)
    with client_scope(acme.pk):
        return Gap.objects.get()


def again(gap: Gap) -> Gap:
    with client_scope(gap.client_id):
        return Gap.objects.get(pk=gap.pk)


def test_an_answer_becomes_knowledge_and_the_questions_cite_it(acme: Client, gap: Gap) -> None:
    answer.write(acme, gap.pk, "Do you ship to Norway?", SHIPPING, "sue")
    answer.follow_up()
    assert again(gap).state == "reading"
    work()
    answer.follow_up()
    gap = again(gap)
    assert (gap.state, gap.note, gap.written_by, gap.title) == ("resolved", "", "sue", "Do you ship to Norway?")
    with client_scope(acme.pk):
        found = list(gap.questions.values_list("again", flat=True))
        document = Document.objects.get(external_id=gap.document)
        latest = document.latest
    assert [(a["outcome"], a["cites"], a["excerpt"] in SHIPPING) for a in found] == [("answered", True, True)] * 2
    assert (document.title, latest and latest.file_type) == ("Do you ship to Norway?", "txt")
    assert document.metadata == {
        "writtenBy": "sue",
        "writtenAt": gap.written and gap.written.isoformat(timespec="seconds"),
        "contentGap": gap.pk,
    }
    with unscoped("the test looks for any bill at all"):
        assert not UsageRecord.objects.exists()
        assert Message.objects.count() == 4


def test_an_answer_that_misses_the_questions_leaves_the_gap_open(acme: Client, gap: Gap) -> None:
    answer.write(acme, gap.pk, "Pens", "We sell pens in blue and in green.", "sue")
    work()
    answer.follow_up()
    gap = again(gap)
    assert (gap.state, gap.note) == ("open", "0 of 2 questions are answered from it. Say more, or resolve it.")
    answer.write(acme, gap.pk, "Do you ship to Norway?", SHIPPING, "ann")
    work()
    answer.follow_up()
    assert (again(gap).state, again(gap).document, again(gap).written_by) == ("resolved", gap.document, "ann")
    with client_scope(acme.pk):
        assert Document.objects.count() == 2  # the second answer is another version of the first


def test_an_answered_gap_opens_again_when_asked_in_vain_and_a_dismissed_one_does_not(acme: Client, gap: Gap) -> None:
    answer.write(acme, gap.pk, "Do you ship to Norway?", SHIPPING, "sue")
    work()
    answer.follow_up()
    asked(acme, NORWAY[2])
    find.group(acme.pk)
    assert (again(gap).state, again(gap).note, again(gap).asked) == ("open", find.REOPENED, 3)
    with client_scope(acme.pk):
        answer.set_state(gap, Gap.State.DISMISSED)
    asked(acme, NORWAY[3])
    find.group(acme.pk)
    assert (again(gap).state, again(gap).asked) == ("dismissed", 4)


def test_an_answer_whose_document_was_erased_opens_its_gap(acme: Client, gap: Gap) -> None:
    answer.write(acme, gap.pk, "Do you ship to Norway?", SHIPPING, "sue")
    documents.remove(acme.pk, again(gap).document)
    answer.follow_up()
    assert (again(gap).state, again(gap).note) == ("open", answer.GONE)


def test_an_answer_that_cannot_be_stored_changes_nothing(acme: Client, stranger: Client, gap: Gap) -> None:
    for client, question, text, code in (
        (acme, " ", SHIPPING, "INVALID_REQUEST"),
        (acme, "Norway?", "x" * (answer.LONGEST_ANSWER + 1), "INVALID_REQUEST"),
        (stranger, "Norway?", SHIPPING, "NOT_FOUND"),
    ):
        with pytest.raises(ApiError) as refused:
            answer.write(client, gap.pk, question, text, "sue")
        assert refused.value.code == code
    assert (again(gap).state, again(gap).document) == ("open", "")


def test_a_retried_follow_up_asks_only_what_is_left(acme: Client, gap: Gap) -> None:
    answer.write(acme, gap.pk, "Do you ship to Norway?", SHIPPING, "sue")
    work()
    with client_scope(acme.pk):
        first = gap.questions.first()
        assert first is not None
        GapQuestion.objects.filter(pk=first.pk).update(again={"cites": True}, asked_again=timezone.now())
    answer.follow_up()
    with client_scope(acme.pk):
        assert GapQuestion.objects.get(pk=first.pk).again == {"cites": True}
    assert again(gap).state == "resolved"


def test_a_gap_that_breaks_something_keeps_no_other_from_its_answer(
    acme: Client, stranger: Client, gap: Gap, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_scope(stranger.pk):
        other = Gap.objects.create(first_seen=timezone.now(), last_seen=timezone.now(), asked=99)  # its turn is first
    for client, row in ((acme, gap), (stranger, other)):
        answer.write(client, row.pk, "Do you ship to Norway?", SHIPPING, "sue")
    work()

    def ask_again(row: Gap, whole: Any = answer._ask_again) -> None:
        if row.client_id == stranger.pk:
            raise RuntimeError
        whole(row)

    monkeypatch.setattr(answer, "_ask_again", ask_again)
    answer.follow_up()
    assert (again(gap).state, again(other).state) == ("resolved", "reading")
