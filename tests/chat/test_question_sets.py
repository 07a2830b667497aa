"""Labelled questions are kept per client and run in slices; the figures are those of `manage.py evaluate`."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_q.models import OrmQ

from billing.models import UsageRecord
from chat import evaluation, tasks
from chat.evaluation import Case, Outcome, read_cases, write_cases
from chat.models import EvaluationRun, LabelledQuestion, Message, QuestionSet, RunResult
from chat.question_sets import runs
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope, unscoped
from tests.knowledge.ingestion import upload, work

pytestmark = pytest.mark.django_db(transaction=True)

RETURNS = "Boots can be returned within 60 days of delivery if they were not worn outdoors."
CASES = [
    Case("How long do I have to return boots?", "60 days", True),
    Case("Who won the chess world cup in 1987?", "", False),
    Case("Can worn boots be returned?", "returns", True),
]


@pytest.fixture
def questions(own_data: Path, acme: Client, stranger: Client) -> QuestionSet:
    upload(acme, RETURNS, "returns")
    upload(stranger, "Boots can never be returned to us, not even within 60 days.", "strange-returns")
    work()
    return made(acme)


def made(client: Client, cases: list[Case] = CASES) -> QuestionSet:
    with client_scope(client.pk):
        found = QuestionSet.objects.create(name="Returns")
        runs.replace_questions(found, cases, add=False)
    return found


def begun(question_set: QuestionSet) -> EvaluationRun:
    with client_scope(question_set.client_id):
        return runs.begin(question_set, "sue")


def now(run: EvaluationRun) -> EvaluationRun:
    with client_scope(run.client_id):
        return EvaluationRun.objects.get(pk=run.pk)


def test_a_run_has_the_figures_that_the_command_prints(questions: QuestionSet, tmp_path: Path) -> None:
    run = begun(questions)
    assert runs.work() is False
    figures = now(run).figures
    file = tmp_path / "set.csv"
    file.write_text(write_cases(CASES), encoding="utf-8")
    output = io.StringIO()
    call_command("evaluate", "--client", str(questions.client_id), "--json", str(file), stdout=output)
    printed = json.loads(output.getvalue())
    assert printed.pop("rows") and figures.pop("tokens") > 0
    for volatile in ("latency_p50", "latency_p95"):
        assert printed.pop(volatile) >= 0 and figures.pop(volatile) >= 0
    assert figures == printed
    assert (figures["questions"], figures["recall@1"], figures["refusal_recall"]) == (3, 1.0, 1.0)
    assert (now(run).state, now(run).started_by, now(run).total) == ("done", "sue", 3)
    with unscoped("the test looks for any row at all"):
        assert not Message.objects.exists() and not UsageRecord.objects.exists()


def test_a_job_with_more_to_do_asks_for_one_more(
    questions: QuestionSet, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMBEDDED = False
    monkeypatch.setattr(runs.work, "__defaults__", (0.0001,))  # seconds: one question
    run = begun(questions)
    waiting = []
    for _ in CASES:
        tasks.run_question_sets()
        waiting.append(OrmQ.objects.count())
    assert (waiting, now(run).state) == ([1, 2, 2], "done")


def test_a_question_that_breaks_something_stops_no_run(questions: QuestionSet, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(client: Client, case: Case, whole: Any = evaluation.ask) -> Outcome:
        if case == CASES[1]:
            raise RuntimeError("canary")
        return await whole(client, case)

    monkeypatch.setattr(evaluation, "ask", ask)
    run = begun(questions)
    runs.work()
    assert (now(run).state, now(run).figures["errors"]) == ("done", 1)
    with client_scope(questions.client_id):
        errors = list(run.results.order_by("position").values_list("error", flat=True))
    assert [bool(error) for error in errors] == [False, True, False] and "canary" not in errors[1]


def test_a_killed_run_goes_on_where_it_ended_and_asks_nothing_twice(questions: QuestionSet) -> None:
    run = begun(questions)
    assert runs.work(seconds=0.0001) is True  # one question
    with client_scope(questions.client_id):
        first = RunResult.objects.get(run=run, position=1)
        EvaluationRun.objects.update(holder=None, held_until=timezone.now() + timedelta(minutes=1))  # somebody has it
    assert runs.work() is False and now(run).state == "running"
    with client_scope(questions.client_id):
        EvaluationRun.objects.update(held_until=timezone.now() - timedelta(seconds=1))  # and died
    runs.work()
    with client_scope(questions.client_id):
        assert RunResult.objects.get(pk=first.pk).asked == first.asked
        assert not RunResult.objects.filter(asked=None).exists()
    assert now(run).state == "done"


def test_a_stopped_run_keeps_what_it_found(questions: QuestionSet) -> None:
    run = begun(questions)
    runs.work(seconds=0.0001)
    with client_scope(questions.client_id):
        runs.stop(run)
    assert runs.work() is False
    assert (now(run).state, now(run).figures["questions"]) == ("stopped", 1)


def test_one_run_of_a_client_at_a_time_and_never_of_nothing(questions: QuestionSet, stranger: Client) -> None:
    begun(questions)
    for question_set, words in ((questions, "under way"), (made(stranger, []), "no questions yet")):
        with pytest.raises(ApiError, match=words):
            begun(question_set)
    begun(made_named(stranger, "other"))


def made_named(client: Client, name: str) -> QuestionSet:
    with client_scope(client.pk):
        found = QuestionSet.objects.create(name=name)
        runs.replace_questions(found, CASES[:1], add=False)
    return found


def test_runs_keep_the_questions_as_they_were(questions: QuestionSet) -> None:
    run = begun(questions)
    runs.work()
    with client_scope(questions.client_id):
        runs.replace_questions(questions, CASES[:1], add=False)
        assert LabelledQuestion.objects.count() == 1
        assert [row.question for row in run.results.all()] == [case.question for case in CASES]


def test_a_set_has_an_end(questions: QuestionSet) -> None:
    with client_scope(questions.client_id), pytest.raises(ApiError, match="at most 500 questions"):
        runs.replace_questions(questions, CASES[:1] * 498, add=True)


def test_what_is_exported_is_what_is_imported() -> None:
    cases = [*CASES, Case('Is "it" =1+1, really?\nYes', "a,b", True)]
    assert read_cases(write_cases(cases).splitlines(keepends=True)) == cases
