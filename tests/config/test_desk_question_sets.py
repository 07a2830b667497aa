"""Question sets at the desk: kept, imported, run and compared by support and the client's own people."""

import time
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse

from chat.models import EvaluationRun, LabelledQuestion, QuestionSet, RunResult
from chat.question_sets import compare, runs
from tenants.models import Client, StaffMember
from tenants.scoping import client_scope
from tests.chat.test_question_sets import CASES, RETURNS, begun, made
from tests.config.desk import MOST_QUERIES, audited, browser_of
from tests.config.test_desk_conversations import queries
from tests.knowledge.ingestion import upload, work

pytestmark = pytest.mark.django_db(transaction=True)

CSV = "question,expected,answerable\nWhere are you?,Harbour Street,yes\nWho won in 1987?,,no\n"


@pytest.fixture(autouse=True)
def _data(own_data: Path) -> None:
    """Vectors and files of each test are its own."""


@pytest.fixture
def own(acme: Client) -> Browser:
    return browser_of("own", StaffMember.Role.CLIENT, acme)


def url(name: str, row: Any) -> str:
    return reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_{name}", args=(row.pk,))


def questions(question_set: QuestionSet) -> list[tuple[str, str, bool]]:
    with client_scope(question_set.client_id):
        return list(question_set.questions.values_list("question", "expected", "answerable"))


def test_a_set_is_made_filled_corrected_and_deleted(acme: Client, own: Browser) -> None:
    made_at = own.post("/admin/chat/questionset/add/", {"client": acme.pk, "name": "Basics"})["Location"]
    with client_scope(acme.pk):
        found = QuestionSet.objects.get()
    assert made_at == url("change", found)
    own.post(url("ask", found), {"question": "Where are you?", "expected": "Harbour Street", "answerable": "yes"})
    own.post(url("ask", found), {"question": "Who won?", "expected": "", "answerable": "no"})
    own.post(url("ask", found), {"question": "Nothing is expected", "expected": "", "answerable": "yes"})
    assert questions(found) == [("Where are you?", "Harbour Street", True), ("Who won?", "", False)]
    with client_scope(acme.pk):
        first = LabelledQuestion.objects.order_by("pk")[0]
    edit = url("change", first)
    assert own.post(edit, {"question": "Where?", "expected": "", "answerable": "on"}).status_code == 200  # a mistake
    own.post(edit, {"question": "Where?", "expected": "Harbour", "answerable": "on"})
    own.post(url("rename", found), {"name": "Basics of Acme"})
    assert questions(found)[0] == ("Where?", "Harbour", True)
    assert "Basics of Acme" in own.get(url("change", found)).content.decode()
    own.post(url("delete", found), {"post": "yes"})
    with client_scope(acme.pk):
        assert not QuestionSet.objects.exists() and not LabelledQuestion.objects.exists()
    assert [event.action for event in audited()] == [
        "add", "add question", "add question", "post", "change", "change", "delete"
    ]  # fmt: skip


def test_a_name_that_is_taken_is_refused_and_a_deleted_question_leads_back_to_its_set(
    acme: Client, stranger: Client, own: Browser
) -> None:
    found, theirs = made(acme), made(stranger)
    with client_scope(acme.pk):
        QuestionSet.objects.create(name="Taken")
        question = found.questions.first()
    for name in ("Taken", " "):
        page = own.post(url("rename", found), {"name": name}, follow=True).content.decode()
        assert "Choose a name that no other set of this client has." in page
    with client_scope(acme.pk):
        assert sorted(QuestionSet.objects.values_list("name", flat=True)) == sorted([found.name, "Taken"])
    own.post(url("rename", found), {"name": f"{theirs.name} and more"})
    with client_scope(stranger.pk):
        assert QuestionSet.objects.get().name == theirs.name
    assert own.post(url("delete", question), {"post": "yes"})["Location"] == url("change", found)
    with client_scope(acme.pk):
        assert not LabelledQuestion.objects.filter(pk=question.pk).exists()


def test_the_file_is_the_commands_own_format(acme: Client, own: Browser) -> None:
    found = made(acme)
    file = lambda text: SimpleUploadedFile("q.csv", text.encode())  # noqa: E731
    own.post(url("import", found), {"file": file("\ufeff" + CSV), "how": "add"})
    assert len(questions(found)) == len(CASES) + 2
    own.post(url("import", found), {"file": file(CSV), "how": "replace"})
    assert questions(found) == [("Where are you?", "Harbour Street", True), ("Who won in 1987?", "", False)]
    assert own.get(url("export", found)).content.decode() == CSV
    long = "Why" * 700
    for bad, words in (
        ("query\nx\n", "The first line must name"),
        ("question,expected\nHow?,\n", "Line 2 doesn"),
        (f"question,expected\n{long},so\n", "Too long: WhyWhy"),
    ):
        page = own.post(url("import", found), {"file": file(bad), "how": "replace"}, follow=True).content.decode()
        assert words in page
    latin = SimpleUploadedFile("q.csv", "question,expected\nWie schön?,ja".encode("latin-1"))
    typed = own.post(url("ask", found), {"question": long, "expected": "so"}, follow=True).content.decode()
    assert "Too long: WhyWhy" in typed and "Line" not in typed
    assert "not in UTF-8" in own.post(url("import", found), {"file": latin}, follow=True).content.decode()
    assert len(questions(found)) == 2


def test_runs_before_and_after_a_change_of_knowledge_are_compared(acme: Client, own: Browser) -> None:
    upload(acme, "Tents can be rented by the week.", "rent")
    work()
    found = made(acme)
    begin = time.monotonic()
    first = own.post(url("run", found))["Location"]
    assert time.monotonic() - begin < 5 and "data-poll" in own.get(first).content.decode()
    runs.work()
    upload(acme, RETURNS, "returns")
    work()
    second = own.post(url("run", found))["Location"]
    assert own.get(second.replace("change", "progress")).json() == {
        "text": "Waiting for its turn", "percent": 0, "done": False
    }  # fmt: skip
    runs.work()
    assert own.get(second.replace("change", "progress")).json()["done"] is True
    context = own.get(second).context
    lines = {line["label"]: line for line in context["figures"]}
    assert {key: lines["Found in five"].get(key) for key in ("now", "before", "change", "verdict")} == {
        "now": "100.0 %", "before": "0.0 %", "change": "+100.0", "verdict": "good"
    }  # fmt: skip
    assert "Cost" not in lines  # what models cost is not for everyone
    assert context["counts"] == {"wrong": 0, "changed": 2}
    assert {row[0].question for row in own.get(f"{second}?only=changed").context["rows"]} == {
        CASES[0].question, CASES[2].question
    }  # fmt: skip
    root = browser_of("root", is_superuser=True)
    assert "Cost" in {line["label"] for line in root.get(second).context["figures"]}


def test_a_run_is_stopped(acme: Client, own: Browser) -> None:
    run = begun(made(acme))
    own.post(url("stop", run))
    with client_scope(acme.pk):
        assert EvaluationRun.objects.get().state == "stopped"
    assert own.get(url("change", run)).status_code == 200


def test_strangers_and_the_billing_role_reach_nothing(acme: Client, stranger: Client) -> None:
    found = made(acme)
    run = begun(found)
    other, biller = browser_of("o", "client", stranger), browser_of("b", "billing")
    for row, names in ((found, ("import", "ask", "run", "rename")), (run, ("stop",))):
        for name in names:
            form = {"question": "x", "expected": "x", "name": "x"}
            codes = (other.post(url(name, row), form).status_code, biller.post(url(name, row), form).status_code)
            assert codes == (404, 403), name
    for path in (url("change", found), url("export", found), url("change", run), url("progress", run)):
        assert (other.get(path).status_code, biller.get(path).status_code) == (404, 403), path
    assert len(questions(found)) == len(CASES)
    assert other.post("/admin/chat/questionset/add/", {"client": acme.pk, "name": "x"}).status_code == 200  # refused
    with client_scope(acme.pk):
        assert QuestionSet.objects.count() == 1


def test_figures_are_shown_with_their_direction() -> None:
    now = EvaluationRun(figures={"recall@1": 0.5, "latency_p50": 2.0, "mrr": None, "cost": "0.002", "tokens": 10})
    before = EvaluationRun(figures={"recall@1": 0.75, "latency_p50": 1.0, "mrr": 1.0, "cost": "0.004", "tokens": 10})
    lines = {line["label"]: line for line in compare.beside(now, before, costs=True)}
    shown = {
        name: [lines[name].get(key) for key in ("now", "before", "change", "verdict")]
        for name in ("Found first", "Typical time", "MRR", "Cost", "Tokens")
    }
    assert shown == {
        "Found first": ["50.0 %", "75.0 %", "−25.0", "bad"],
        "Typical time": ["2.00 s", "1.00 s", "+1.00 s", "bad"],
        "MRR": ["–", "1.000", None, None],
        "Cost": ["$0.0020", "$0.0040", "−$0.0020", "good"],
        "Tokens": ["10", "10", "same", None],
    }


@pytest.mark.parametrize("rows", [1, 300])
def test_sets_and_runs_take_few_queries(acme: Client, rows: int) -> None:
    found = made(acme, CASES[:1] * rows)
    run = begun(found)
    with client_scope(acme.pk):
        RunResult.objects.update(asked=run.created, outcome="answered", citations=[True], rank=1, seconds=1.0)
        EvaluationRun.objects.update(state="done", figures={"recall@5": 1.0})
        others = [EvaluationRun(question_set=found, state="done", figures={"mrr": 1.0}) for _ in range(rows)]
        EvaluationRun.objects.bulk_create(others)
        QuestionSet.objects.bulk_create(QuestionSet(name=f"set {n}") for n in range(rows))
    for browser in (browser_of("root", is_superuser=True), browser_of("own", "client", acme)):
        for path in ("/admin/chat/questionset/", url("change", found), url("export", found), url("change", run),
                     f"{url('change', run)}?only=wrong", "/admin/chat/evaluationrun/",
                     "/admin/chat/labelledquestion/"):  # fmt: skip
            assert len(queries(browser, path)) <= MOST_QUERIES, path
