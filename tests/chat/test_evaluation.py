"""What operators see of an answer, and the figures of a labelled set; nothing of it is stored or billed."""

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from billing.models import UsageRecord
from chat.evaluation import Case, read_cases
from chat.models import Message
from tenants.models import Client
from tenants.scoping import unscoped
from tests.knowledge.ingestion import upload, work

RETURNS = "Boots can be returned within 60 days of delivery if they were not worn outdoors."
SET = """question,expected,answerable
How long do I have to return boots?,60 days,yes
Who won the chess world cup in 1987?,,no
"""

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    output = io.StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
def informed(own_data: Path, acme: Client, stranger: Client) -> Client:
    upload(acme, RETURNS, "returns")
    upload(stranger, "Boots can never be returned to us, not even within 60 days.", "strange-returns")
    while work():
        pass
    return acme


def test_ask_shows_what_an_answer_is_made_from(informed: Client) -> None:
    shown = run("ask", "--client", "Acme Outdoor", "How long do I have to return boots?")
    assert f"“{RETURNS}”" in shown
    assert "never" not in shown
    assert nothing_was_written()


def test_evaluate_counts_finds_citations_and_refusals(informed: Client, tmp_path: Path) -> None:
    questions = tmp_path / "questions.csv"
    questions.write_text(SET)
    found = json.loads(run("evaluate", "--client", str(informed.pk), "--json", str(questions)))
    rows = found.pop("rows")
    for volatile in ("latency_p50", "latency_p95"):
        assert found.pop(volatile) >= 0
    assert found == {
        "questions": 2,
        "errors": 0,
        "recall@1": 1.0,
        "recall@3": 1.0,
        "recall@5": 1.0,
        "mrr": 1.0,
        "citation_precision": 1.0,
        "citation_recall": 1.0,
        "refusal_precision": 1.0,
        "refusal_recall": 1.0,
        "cost": found["cost"],
    }
    assert [row["outcome"] for row in rows] == ["answered", "refused"]
    assert nothing_was_written()


def test_what_no_document_is_called_or_says_is_told(informed: Client, tmp_path: Path) -> None:
    questions = tmp_path / "questions.csv"
    rows = [
        ("returns", "yes"),
        ("RETURNS", "yes"),
        ("were  not worn", "yes"),
        ("strange-returns", "yes"),
        ("typo", "no"),
    ]
    questions.write_text("question,expected,answerable\n" + "".join(f"How?,{words},{yes}\n" for words, yes in rows))
    errors = io.StringIO()
    call_command(
        "evaluate", "--client", str(informed.pk), "--json", str(questions), stdout=io.StringIO(), stderr=errors
    )
    assert errors.getvalue() == "no document is called “strange-returns” or says it: the expectation can't be met\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("query\nx\n", "The first line must name the columns"),
        ("question,expected\n,doc\n", "Line 2 has no question"),
        ("question,expected\nHow?,\n", "Line 2 doesn't say which document or words are expected"),
        ("", "The first line must name the columns"),
        ("question,expected,answerable\n", "The file holds no questions"),
        ("question,expected,answerable\nHow?,doc,perhaps\n", "Line 2: answerable is yes or no, not “perhaps”"),
        ("question,expected\nHow long, please?,doc\n", "Line 2 has more cells than the first one"),
        ("question,expected\nHow\0,doc\nHow\rlong?,doc\n", "Line 3 can't be read"),
    ],
)
def test_a_set_that_says_too_little_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_cases(text.split("\n"))


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_a_set_as_a_spreadsheet_saves_it_is_read(delimiter: str, tmp_path: Path) -> None:
    text = "\r\n".join(
        [" Question,EXPECTED,Answerable".replace(",", delimiter), f'How?{delimiter}"30, or 60; days"{delimiter}ja', ""]
    )
    text += f"Who?{delimiter}{delimiter}Nein\r\n"
    assert read_cases(text.splitlines(keepends=True)) == [
        Case("How?", "30, or 60; days", True),
        Case("Who?", "", False),
    ]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(b"\xff\xfeq\0u\0", "not in UTF-8"), (b"", "must name the columns"), (None, "No such file")],
)
def test_a_file_that_is_no_set_is_told_in_a_sentence(
    acme: Client, tmp_path: Path, data: bytes | None, complaint: str
) -> None:
    file = tmp_path / "questions.csv"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(CommandError, match=complaint):
        run("evaluate", "--client", str(acme.pk), str(file))


def test_answerable_is_yes_where_it_is_left_out() -> None:
    assert read_cases(["question,expected", "How?,doc"]) == [Case("How?", "doc", True)]


@pytest.mark.parametrize("question", ["", "  ", "x" * 2001])
def test_ask_wants_a_question_as_a_visitor_may_ask_it(acme: Client, question: str) -> None:
    with pytest.raises(CommandError, match="A question has 1 to 2000 characters"):
        run("ask", "--client", str(acme.pk), question)


def test_an_unknown_client_is_told(db: None) -> None:
    with pytest.raises(CommandError, match="No client is called Nobody"):
        run("ask", "--client", "Nobody", "Hello?")


def nothing_was_written() -> bool:
    with unscoped("the test looks for any row at all"):
        return not Message.objects.exists() and not UsageRecord.objects.exists()
