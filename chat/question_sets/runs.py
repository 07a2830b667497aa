"""Run a question set: begin, work off in slices, stop.

The rows are the truth. Whoever works on a run holds it for LEASE at a time and says so with every question, so a
killed process's run is taken up by the next one where it ended.
"""

import time
import uuid
from datetime import timedelta

import structlog
from asgiref.sync import async_to_sync
from django.db.models import Q
from django.utils import timezone

from chat import evaluation
from chat.evaluation import Case, Outcome
from chat.llms import choose
from chat.question_sets.models import EvaluationRun, LabelledQuestion, QuestionSet, RunResult
from tenants.errors import ApiError, as_api_error
from tenants.models import Client
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
SLICE_SECONDS = 5.0  # of one job, so that documents don't wait behind a long set
LEASE = timedelta(minutes=5)  # longer than any one answer may take
MOST_QUESTIONS = 500  # of one set: each may cost a model call
RUNS_KEPT = 50  # of one set
State = EvaluationRun.State


def replace_questions(question_set: QuestionSet, cases: list[Case], *, add: bool) -> int:
    """Store the cases as the set's questions, or add them to those it has; how many it has then. ApiError 400.

    Inside the client's scope, as all of this file but `work`.
    """
    before = question_set.questions.count() if add else 0
    if before + len(cases) > MOST_QUESTIONS:
        raise ApiError("INVALID_REQUEST", f"A set holds at most {MOST_QUESTIONS} questions: make several sets.")
    for case in cases:
        if len(case.question) > 2000 or len(case.expected) > 1000:
            most = "A question has up to 2000 characters, what is expected up to 1000."
            raise ApiError("INVALID_REQUEST", f"{most} Too long: {case.question[:60]}")
    if not add:
        question_set.questions.all().delete()
    rows = [
        LabelledQuestion(
            client_id=question_set.client_id,
            question_set=question_set,
            question=case.question,
            expected=case.expected,
            answerable=case.answerable,
        )
        for case in cases
    ]
    LabelledQuestion.objects.bulk_create(rows)
    return before + len(rows)


def begin(question_set: QuestionSet, person: str) -> EvaluationRun:
    """Queue a run with the questions as they are now. ApiError 400 for an empty set, 409 while one of the client's
    runs is under way: two would compete for the same models."""
    client = Client.objects.select_for_update(no_key=True).get(pk=question_set.client_id)
    if EvaluationRun.objects.filter(client=client, state__in=EvaluationRun.UNFINISHED).exists():
        raise ApiError("IDEMPOTENCY_CONFLICT", "A run of this client is under way. Wait for its end, or stop it.")
    questions = list(question_set.questions.all()[:MOST_QUESTIONS])
    if not questions:
        raise ApiError("INVALID_REQUEST", "The set has no questions yet.")
    run = EvaluationRun.objects.create(
        client_id=client.pk,
        question_set=question_set,
        started_by=person,
        total=len(questions),
        knowledge_version=client.knowledge_version,
        model=choose(client).id,
    )
    RunResult.objects.bulk_create(
        RunResult(
            client_id=client.pk, run=run, position=n, question=q.question, expected=q.expected, answerable=q.answerable
        )
        for n, q in enumerate(questions, 1)
    )
    old = question_set.runs.values_list("pk", flat=True)[RUNS_KEPT:]
    EvaluationRun.objects.filter(pk__in=list(old)).delete()
    return run


def stop(run: EvaluationRun) -> None:
    """End a run early; its figures are those of the questions that were asked."""
    unfinished = EvaluationRun.objects.filter(pk=run.pk, state__in=EvaluationRun.UNFINISHED)
    if unfinished.update(state=State.STOPPED, finished=timezone.now(), held_until=None, holder=None):
        EvaluationRun.objects.filter(pk=run.pk).update(figures=_figures(run.pk))


def work(seconds: float = SLICE_SECONDS) -> bool:
    """Ask the next questions of the oldest free run for about so many seconds; True if some run is left to work on."""
    held = _take()
    if held is None:
        return False
    client_id, run_id, holder = held
    client = Client.objects.get(pk=client_id)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        row = _next(client_id, run_id, holder)
        if row is None:
            break
        case = Case(row.question, row.expected, row.answerable)
        _note(client_id, row, _asked(client, case))
    _leave(client_id, run_id, holder)
    return _any_left()


def _asked(client: Client, case: Case) -> Outcome:
    """What came of a question; one that nobody foresaw to fail stops neither its run nor those that wait behind it."""
    try:
        return async_to_sync(evaluation.ask)(client, case)
    except Exception as error:  # noqa: BLE001 - logged, and noted in a person's words
        return Outcome(case, None, as_api_error(error).message)


def _free() -> Q:
    unheld = Q(held_until=None) | Q(held_until__lt=timezone.now())
    return Q(state__in=EvaluationRun.UNFINISHED) & unheld


def _any_left() -> bool:
    with unscoped("runs of all clients are worked off by one job"):
        return EvaluationRun.objects.filter(_free()).exists()


def _take() -> tuple[uuid.UUID, int, uuid.UUID] | None:
    """Hold the oldest run, unless some process is at a run: of the workers, one at most is busy with questions."""
    holder = uuid.uuid4()
    with unscoped("runs of all clients are worked off by one job"):
        if EvaluationRun.objects.filter(state__in=EvaluationRun.UNFINISHED, held_until__gt=timezone.now()).exists():
            return None
        for run in EvaluationRun.objects.filter(_free()).order_by("created", "pk")[:5]:
            mine = {"holder": holder, "held_until": timezone.now() + LEASE, "state": State.RUNNING}
            if EvaluationRun.objects.filter(_free(), pk=run.pk).update(**mine):
                return run.client_id, run.pk, holder
    return None


def _next(client_id: uuid.UUID, run_id: int, holder: uuid.UUID) -> RunResult | None:
    """The next question, if the run is still ours."""
    with client_scope(client_id):
        ours = EvaluationRun.objects.filter(pk=run_id, holder=holder, state=State.RUNNING)
        if not ours.update(held_until=timezone.now() + LEASE):
            return None
        return RunResult.objects.filter(run_id=run_id, asked=None).order_by("position").first()


def _note(client_id: uuid.UUID, row: RunResult, outcome: Outcome) -> None:
    found = outcome.preview
    values = {
        "asked": timezone.now(),
        "outcome": found.result.outcome if found else "",
        "answer": found.result.text if found else "",
        "error": outcome.error[:300],
        "rank": outcome.rank,
        "citations": outcome.citations,
        "tokens": found.usage.prompt_tokens + found.usage.completion_tokens if found else 0,
        "cost": outcome.cost,
        "seconds": outcome.seconds,
    }
    with client_scope(client_id):
        RunResult.objects.filter(pk=row.pk).update(**values)


def _leave(client_id: uuid.UUID, run_id: int, holder: uuid.UUID) -> None:
    """Give the run back, or end it when every question was asked."""
    with client_scope(client_id):
        ours = EvaluationRun.objects.filter(pk=run_id, holder=holder, state=State.RUNNING)
        if RunResult.objects.filter(run_id=run_id, asked=None).exists():
            ours.update(held_until=None, holder=None)
        else:
            ended = {"state": State.DONE, "finished": timezone.now(), "held_until": None, "holder": None}
            ours.update(**ended, figures=_figures(run_id))


def _figures(run_id: int) -> dict[str, object]:
    asked = list(RunResult.objects.filter(run_id=run_id).exclude(asked=None))
    return {**evaluation.figures(asked), "tokens": sum(row.tokens for row in asked)}
