"""Search end to end: real rows, the embedded model and the embedded store, with a stranger's knowledge beside."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext

from knowledge import search as door
from knowledge.embeddings import get_embedder
from knowledge.embeddings.models import Ranking
from knowledge.models import Chunk, Document, DocumentVersion, chunk_id
from knowledge.search import Passage, rank
from knowledge.spelling import as_said
from knowledge.vectors import Candidate, Point, VectorStore, embedded
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope

pytestmark = pytest.mark.django_db(transaction=True)  # search reads on a thread of its own

BOOTS = "Boots can be returned within 60 days if they have not been worn outdoors."
SHIPPING = "Standard shipping takes three to five working days within the country."
TENTS = "Tents are repaired in our own workshop; a torn seam costs 25 euros."
SECRET = "Boots of the stranger can be returned within 7 days, to the stranger only."
QUESTION = "How long do I have to return boots?"
search = async_to_sync(door.search)


@pytest.fixture(autouse=True)
def vectors(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS, settings.DATA_DIR = "all-minilm-l6-v2", 0, tmp_path
    embedded.release()
    yield
    embedded.release()


def learn(client: Client, name: str, *texts: str, number: int = 1) -> DocumentVersion:
    """A live document version with one chunk a text, and its points."""
    with client_scope(client.pk):
        document, _ = Document.objects.get_or_create(external_id=name, defaults={"title": name.title()})
        whole = "\n".join(texts)
        version = DocumentVersion.objects.create(
            document=document, number=number, file_type="txt", original_name=name, size=len(whole),
            sha256=hashlib.sha256(whole.encode()).hexdigest(), status="completed", text=whole,
        )  # fmt: skip
        start = 0
        chunks = []
        for index, text in enumerate(texts):
            pk = chunk_id(client.pk, version.pk, index)
            chunks.append(
                Chunk(id=pk, version=version, index=index, text=text, start=start, end=start + len(text), tokens=9)
            )
            start += len(text) + 1
        Chunk.objects.bulk_create(chunks)
        document.live = document.latest = version
        document.save()
    vectors, _ = get_embedder().embed_passages(texts)
    points = [Point(c.pk, version.pk, c.text, v) for c, v in zip(chunks, vectors, strict=True)]
    VectorStore.for_client(client.pk).upsert(points)
    return version


def texts(passages: list[Passage]) -> list[str]:
    return [passage.text for passage in passages]


def test_finds_the_passage_that_answers(acme: Client, stranger: Client) -> None:
    version = learn(acme, "returns", BOOTS)
    learn(acme, "shipping", SHIPPING)
    learn(stranger, "returns", SECRET)
    passages = search(acme.pk, QUESTION)
    assert texts(passages) == [BOOTS, SHIPPING]
    assert passages[0] == Passage(
        chunk_id=chunk_id(acme.pk, version.pk, 0),
        document_id="returns",
        title="Returns",
        text=BOOTS,
        start=0,
        end=len(BOOTS),
        page=None,
        page_to=None,
        index=0,
        heading_path=(),
        score=passages[0].score,
        version_id=version.pk,
    )
    assert 1 >= passages[0].score > passages[1].score >= 0


def test_a_client_without_knowledge_gets_nothing_of_others(acme: Client, stranger: Client) -> None:
    learn(stranger, "returns", SECRET)
    assert search(acme.pk, QUESTION) == []


def test_a_question_off_every_topic_finds_nothing(acme: Client, stranger: Client) -> None:
    learn(acme, "shop", BOOTS, SHIPPING, TENTS)
    for question in ("Who won the chess world championship in 1972?", "What is the capital of Mongolia?", "asdf qwer"):
        assert search(acme.pk, question) == []


def test_a_question_in_other_words_is_found(acme: Client, stranger: Client) -> None:
    learn(acme, "returns", BOOTS)
    learn(acme, "shipping", SHIPPING)
    assert search(acme.pk, "Until when may I send back footwear?")[0].text == BOOTS


HOURS = "Visit us at 14 Canal Street. Monday to Friday 9 am to 6 pm, Saturday 10 am to 4 pm."
GUARANTEE = "All tents carry a guarantee of two years against faults in material."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Opening hours?", HOURS),
        ("orari di apertura?", HOURS),
        ("What are your opening hours?", HOURS),
        ("How long is the warranty?", GUARANTEE),
    ],
)
def test_a_short_question_finds_what_answers_it_in_no_common_word(
    acme: Client, stranger: Client, question: str, answer: str
) -> None:
    learn(acme, "shop", HOURS)
    learn(acme, "promises", GUARANTEE)
    learn(acme, "tents", TENTS)
    assert search(acme.pk, question)[0].text == answer
    assert search(acme.pk, "Do you sell bicycles?") == []
    assert search(acme.pk, "Student discount?") == []


def test_points_of_a_replaced_or_deleted_version_are_passed_over(acme: Client, stranger: Client) -> None:
    learn(acme, "returns", BOOTS)
    learn(acme, "returns", BOOTS.replace("60", "30"), number=2)
    gone = learn(acme, "gone", BOOTS.replace("60", "90"))
    with client_scope(acme.pk):
        gone.document.delete()
    assert VectorStore.for_client(acme.pk).count() == 3
    assert texts(search(acme.pk, QUESTION)) == [BOOTS.replace("60", "30")]


def test_a_point_of_a_deleted_document_does_not_let_a_question_through(acme: Client, stranger: Client) -> None:
    learn(acme, "tents", TENTS)
    gone = learn(acme, "gone", BOOTS)
    with client_scope(acme.pk):
        gone.document.delete()
    assert search(acme.pk, QUESTION) == []


def test_more_dead_points_than_candidates_loaded_at_once_hide_nothing(acme: Client, stranger: Client) -> None:
    for number in range(1, 9):
        learn(acme, "returns", BOOTS, f"{BOOTS} This was rule {number}.", number=number)
    learn(acme, "other", "Boots can be returned in every shop as well.")
    found = texts(search(acme.pk, QUESTION, limit=2))
    assert found[0].startswith(BOOTS)
    assert "Boots can be returned in every shop as well." in found


def test_a_passage_that_repeats_another_is_left_out(acme: Client, stranger: Client) -> None:
    learn(acme, "returns", BOOTS)
    learn(acme, "copy of returns", BOOTS)
    learn(acme, "shipping", SHIPPING)
    assert texts(search(acme.pk, QUESTION)) == [BOOTS, SHIPPING]


def test_neighbours_of_a_hit_are_joined_to_a_span_of_the_document(acme: Client, stranger: Client) -> None:
    version = learn(acme, "returns", BOOTS, "Boots that were worn can be returned only if they are faulty.", TENTS)
    [passage] = search(acme.pk, QUESTION)
    assert passage.text == version.text[passage.start : passage.end] == version.text
    assert passage.index == 0


def test_no_more_passages_than_asked_for(acme: Client, stranger: Client) -> None:
    for number in range(9):
        learn(
            acme, f"boots-{number}", f"Boots of model number {number} can be returned, like {'abcdefghi'[number] * 5}."
        )
    assert len(search(acme.pk, QUESTION)) == 5
    assert len(search(acme.pk, QUESTION, limit=3)) == 3


def test_one_query_however_many_passages(acme: Client, stranger: Client) -> None:
    counts = []
    for number in range(3):
        learn(acme, f"boots-{number}", f"Boots number {number} can be returned within {number} weeks, says {number}.")
        vector = async_to_sync(get_embedder().embed_question)(QUESTION)
        candidates = async_to_sync(VectorStore.for_client(acme.pk).search)(vector, QUESTION, 10)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            door._load(acme.pk, rank(candidates, Ranking(0.3, 0.6, 0.1)), 5)
        counts.append(sum("SELECT" in q["sql"] and "chunk" in q["sql"] for q in queries))
    assert counts == [1, 1, 1]


def test_equals_have_a_fixed_order() -> None:
    ids = sorted(uuid.uuid4() for _ in range(5))
    candidates = [Candidate(id, 0.5, 0.5, 0.5) for id in ids]
    assert rank(candidates, Ranking(0.3, 0.6, 0.1)) == rank(candidates[::-1], Ranking(0.3, 0.6, 0.1))


def test_what_is_lifted_to_the_threshold_keeps_its_order() -> None:
    ids = sorted(uuid.uuid4() for _ in range(3))
    ranking = Ranking(0.35, 0.6, 0.05, threshold=0.5, convincing=0.4)
    near = [Candidate(ids[0], 0.41, 0, 0), Candidate(ids[1], 0.45, 0, 0), Candidate(ids[2], 0.43, 0, 0)]
    assert rank(near, ranking) == [(ids[1], 0.5), (ids[2], 0.5), (ids[0], 0.5)]
    short = [Candidate(ids[0], 0.1, 0.01, 0.1), Candidate(ids[1], 0.2, 0, 0), Candidate(ids[2], 0.2, 0.02, 0.1)]
    assert [id for id, score in rank(short, ranking, certain=True) if score == 0.5] == [ids[2], ids[0]]
    assert max(score for _, score in rank(short, ranking)) < 0.5


def test_a_store_that_fails_is_told_in_the_contracts_words(acme: Client, settings: Any) -> None:
    settings.EMBEDDING_MODEL = "unreachable"
    settings.EMBEDDING_DIMENSIONS = 4
    settings.EMBEDDING_BASE_URL = "http://127.0.0.1:9/v1"
    from knowledge.embeddings import openai

    openai.QUESTION_SECONDS, before = 0.2, openai.QUESTION_SECONDS
    try:
        with pytest.raises(ApiError) as error:
            search(acme.pk, QUESTION)
    finally:
        openai.QUESTION_SECONDS = before
    assert error.value.code == "VECTOR_SEARCH_ERROR"
    assert "127.0.0.1" not in error.value.message


BREAKFAST = "Breakfast is served from 7:00 to 10:30 in the garden room."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("workshhop", TENTS),  # as the passages spell it
        ("brekfast?", BREAKFAST),
        ("How long is the wraranty?", GUARANTEE),  # what only the product's own words say
        ("Öffnugnszeiten?", HOURS),
    ],
)
def test_a_misspelt_question_finds_what_the_client_s_passages_spell_otherwise(
    acme: Client, stranger: Client, question: str, answer: str
) -> None:
    for name, text in (("breakfast", BREAKFAST), ("shop", HOURS), ("guarantee", GUARANTEE), ("repairs", TENTS)):
        learn(acme, name, text)
    learn(stranger, "hotel", "The stranger's brekfast is in the workshhop.")
    found = texts(search(acme.pk, question))
    assert found[0] == answer
    assert sorted(found) == sorted([BREAKFAST, HOURS, GUARANTEE, TENTS])


def test_nothing_is_spelt_as_a_stranger_spells_it_or_as_another_word(acme: Client, stranger: Client) -> None:
    learn(acme, "shop", BOOTS, "Each plant comes in a pot.")
    learn(stranger, "hotel", BREAKFAST)
    assert search(acme.pk, "brekfast?") == []
    assert search(acme.pk, "Which planet is it?") == []


def test_another_form_of_a_word_is_no_slip() -> None:
    said = ["Personalausweise beantragen Sie im Rathaus."]
    assert as_said("Wie beantrage ich Wohngeld?", ["beantrage", "wohngeld"], said) == "Wie beantrage ich Wohngeld?"
    assert as_said("Wie baentragen, Perosnalausweise?", ["baentragen", "perosnalausweise"], said) == (
        "Wie beantragen, personalausweise?"
    )
