"""Question sets at the desk: keep labelled questions, run them, compare the runs."""

import io
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import slugify
from django.views.decorators.http import require_POST
from unfold.decorators import display

from chat import evaluation
from chat.models import EvaluationRun, LabelledQuestion, QuestionSet, RunResult
from chat.question_sets import compare, runs
from tenants import audit, timetable
from tenants.desk import CLIENT_FILTER, DeskAdmin, ReadOnly
from tenants.errors import ApiError

A_PAGE = 50
RUNS_SHOWN = 10
MAX_CSV_BYTES = 2 * 1024 * 1024


@admin.register(QuestionSet)
class QuestionSetAdmin(DeskAdmin):
    """A set's page holds everything: its questions, import and export, and its runs."""

    list_display = ("name", "client", "questions_in_it", "last_run")
    list_filter = (CLIENT_FILTER,)
    list_select_related = ("client",)
    search_fields = ("name",)
    search_help_text = "Search by name"
    fields = ("client", "name")
    autocomplete_fields = ("client",)

    def get_queryset(self, request: HttpRequest) -> Any:
        mine = LabelledQuestion.objects.filter(question_set=OuterRef("pk")).order_by().values("question_set")
        newest = EvaluationRun.objects.filter(question_set=OuterRef("pk")).values("created")[:1]
        counted = Subquery(mine.annotate(n=Count("pk")).values("n"))
        return super().get_queryset(request).annotate(count=counted, ran=Subquery(newest))

    @display(description="questions")
    def questions_in_it(self, question_set: Any) -> int:
        return question_set.count or 0

    @display(description="last run")
    def last_run(self, question_set: Any) -> Any:
        return question_set.ran

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        posts = {"import": self.import_csv, "ask": self.add_question, "run": self.run, "rename": self.rename}
        return [
            path("<int:pk>/questions.csv", view(self.export_csv), name="chat_questionset_export"),
            *(
                path(f"<int:pk>/{name}/", view(require_POST(act)), name=f"chat_questionset_{name}")
                for name, act in posts.items()
            ),
            *super().get_urls(),
        ]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Who may delete a set deletes its runs with it, which nobody deletes one by one."""
        found, counts, _, protected = super().get_deleted_objects(objs, request)
        return found, counts, set(), protected

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return _to(obj)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        question_set = self.row(request, object_id)
        costs = request.user.has_perm("tenants.see_costs")  # type: ignore[union-attr]
        found = list(question_set.runs.all()[:RUNS_SHOWN])
        shown = [kind for kind in compare.kinds(costs=costs) if kind.name in (*compare.IN_LISTS, "cost")]
        context = {
            **self.admin_site.each_context(request),
            "title": question_set.name,
            "opts": self.opts,
            "set": question_set,
            "questions": Paginator(question_set.questions.all(), A_PAGE).get_page(request.GET.get("p")),
            "kinds": shown,
            "runs": [(run, [compare.shown(kind, run.figures) for kind in shown]) for run in found],
            "under_way": next((run for run in found if run.state in EvaluationRun.UNFINISHED), None),
            "may": self.has_change_permission(request),
            "may_delete": self.has_delete_permission(request),
            "may_run": _may_run(request),
            "most": runs.MOST_QUESTIONS,
        }
        return TemplateResponse(request, "admin/desk/question_set.html", context)

    def import_csv(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Questions from a CSV as `manage.py evaluate` takes it, instead of or beside those that are there."""
        question_set = self._own(request, pk)
        file = request.FILES.get("file")
        if file is None or (file.size or 0) > MAX_CSV_BYTES:
            messages.error(request, f"Choose a CSV file of at most {MAX_CSV_BYTES // 1024 // 1024} MB.")
            return _to(question_set)
        before = question_set.questions.count()
        try:
            lines = io.StringIO(file.read().decode("utf-8-sig"), newline="")
            cases = evaluation.read_cases(lines)
            count = runs.replace_questions(question_set, cases, add=request.POST.get("how") == "add")
        except UnicodeDecodeError:
            messages.error(request, "The file is not in UTF-8. Save it as “CSV UTF-8”.")
        except (ValueError, ApiError) as error:
            messages.error(request, getattr(error, "message", str(error)))
        else:
            audit.note(request, "import questions", question_set, {"questions": before}, {"questions": count})
            messages.success(request, f"The set has {count} questions now.")
        return _to(question_set)

    def export_csv(self, request: HttpRequest, pk: int) -> HttpResponse:
        question_set = self.row(request, pk)
        cases = [evaluation.Case(q.question, q.expected, q.answerable) for q in question_set.questions.all()]
        audit.note(request, "export", question_set)
        name = f"{slugify(question_set.name) or 'questions'}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return HttpResponse(evaluation.write_cases(cases), content_type="text/csv; charset=utf-8", headers=headers)

    def add_question(self, request: HttpRequest, pk: int) -> HttpResponse:
        question_set = self._own(request, pk)
        answerable = request.POST.get("answerable") != "no"
        case = evaluation.Case(
            " ".join(request.POST.get("question", "").split()), request.POST.get("expected", "").strip(), answerable
        )
        if not case.question or (answerable and not case.expected):
            messages.error(request, "Write the question, and which document or words answer it.")
            return _to(question_set)
        try:
            runs.replace_questions(question_set, [case], add=True)
        except ApiError as error:
            messages.error(request, error.message)
        else:
            audit.note(request, "add question", question_set, {}, {"question": case.question[: audit.LONGEST]})
        return _to(question_set)

    def rename(self, request: HttpRequest, pk: int) -> HttpResponse:
        question_set = self._own(request, pk)
        before, question_set.name = question_set.name, " ".join(request.POST.get("name", "").split())[:100]
        try:
            question_set.clean_fields()
            with transaction.atomic():  # a savepoint: a name that is taken leaves the page's transaction whole
                question_set.save(update_fields=["name"])
        except (ValidationError, IntegrityError):
            messages.error(request, "Choose a name that no other set of this client has.")
        else:
            audit.note(request, "change", question_set, {"name": before}, {"name": question_set.name})
        return _to(question_set)

    def run(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Begin a run; its page shows how far it is."""
        question_set = self.row(request, pk)
        if not _may_run(request):
            raise PermissionDenied
        try:
            run = runs.begin(question_set, request.user.get_username())
        except ApiError as error:
            messages.error(request, error.message)
            return _to(question_set)
        timetable.soon("chat.tasks.run_question_sets")
        audit.note(request, "run questions", question_set, {}, {"questions": run.total})
        return HttpResponseRedirect(reverse("admin:chat_evaluationrun_change", args=(run.pk,)))

    def _own(self, request: HttpRequest, pk: int) -> QuestionSet:
        """The set, for who may change it."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        return self.row(request, pk)


@admin.register(LabelledQuestion)
class LabelledQuestionAdmin(DeskAdmin):
    """One question is corrected here; its set's page leads here and back."""

    list_display = ("question", "expected", "answerable", "question_set")
    list_filter = ("answerable", CLIENT_FILTER)
    list_select_related = ("question_set",)
    search_fields = ("question", "expected")
    search_help_text = "Search by question or what is expected"
    fields = ("question", "expected", "answerable")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a question is added on its set's page

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return _to(obj.question_set)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        request.set_of_question = obj.question_set  # type: ignore[attr-defined]
        super().delete_model(request, obj)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        messages.success(request, "The question is deleted.")
        return _to(request.set_of_question)  # type: ignore[attr-defined]


@admin.register(EvaluationRun)
class EvaluationRunAdmin(ReadOnly, DeskAdmin):
    """What came of a run, beside an earlier one of the same set."""

    list_display = ("created", "question_set", "client", "state", "total", "started_by", "model")
    list_filter = (CLIENT_FILTER,)
    list_select_related = ("question_set", "client")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/progress/", view(self.progress), name="chat_evaluationrun_progress"),
            path("<int:pk>/stop/", view(require_POST(self.stop)), name="chat_evaluationrun_stop"),
            *super().get_urls(),
        ]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        run = self.row(request, object_id)
        costs = request.user.has_perm("tenants.see_costs")  # type: ignore[union-attr]
        others = list(EvaluationRun.objects.filter(question_set=run.question_set).exclude(pk=run.pk)[: runs.RUNS_KEPT])
        earlier = _chosen(others, request.GET.get("with", ""), run)
        only = request.GET.get("only", "")
        results = run.results.filter(asked__isnull=False)
        before = {r.question: r for r in earlier.results.exclude(asked=None)} if earlier else {}
        rows = [(result, before.get(result.question)) for result in results]
        chosen = [row for row in rows if _wanted(only, *row)]
        context = {
            **self.admin_site.each_context(request),
            "title": f"{run.question_set.name}: run of {run}",
            "opts": self.opts,
            "run": run,
            "figures": compare.beside(run, earlier, costs=costs),
            "earlier": earlier,
            "others": others,
            "only": only,
            "counts": {name: sum(_wanted(name, *row) for row in rows) for name in ("wrong", "changed")},
            "asked": len(rows),
            "rows": Paginator(chosen, A_PAGE).get_page(request.GET.get("p")),
            "costs": costs,
            "unfinished": run.state in EvaluationRun.UNFINISHED,
            "may_run": _may_run(request),
        }
        return TemplateResponse(request, "admin/desk/run.html", context)

    def progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        """`{"text", "percent", "done"}`."""
        request.polled = True  # type: ignore[attr-defined]
        run = self.row(request, pk)
        asked = run.results.exclude(asked=None).count()
        text = "Waiting for its turn" if run.state == EvaluationRun.State.WAITING else f"{asked} of {run.total} asked"
        done = run.state not in EvaluationRun.UNFINISHED
        return JsonResponse({"text": text, "percent": 100 * asked // max(run.total, 1), "done": done})

    def stop(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = self.row(request, pk)
        if not _may_run(request):
            raise PermissionDenied
        runs.stop(run)
        audit.note(request, "stop run", run)
        return HttpResponseRedirect(reverse("admin:chat_evaluationrun_change", args=(run.pk,)))

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("question_set", "client")


def _chosen(others: list[EvaluationRun], wanted: str, run: EvaluationRun) -> EvaluationRun | None:
    """The run to compare with: the one that was asked for, else the last one before that has figures."""
    if wanted:
        return next((other for other in others if str(other.pk) == wanted), None)
    before = (o for o in others if o.figures and (o.created, o.pk) < (run.created, run.pk))
    return next(before, None)


def _wanted(only: str, now: RunResult, before: RunResult | None) -> bool:
    if only == "wrong":
        return not now.good
    if only == "changed":
        return before is not None and (before.good, before.outcome, before.rank) != (now.good, now.outcome, now.rank)
    return True


def _may_run(request: HttpRequest) -> bool:
    return request.user.has_perm("tenants.ask_as_client")  # type: ignore[union-attr]


def _to(question_set: QuestionSet) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:chat_questionset_change", args=(question_set.pk,)))
