"""Content gaps at the desk: what visitors ask in vain, most frequent first, and the answer that closes a gap."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import Truncator
from django.views.decorators.http import require_POST
from unfold.decorators import display

from chat.gaps import answer, find
from chat.models import Gap, GapQuestion
from knowledge import documents
from tenants import audit, timetable
from tenants.desk import CLIENT_FILTER, DeskAdmin, ReadOnly
from tenants.errors import ApiError

LABELS = {"Open": "warning", "Answer is being read": "info", "Answered": "success"}
SHOWN = 100  # questions of one gap
TO_DO = (Gap.State.OPEN, Gap.State.READING)
# What a person may do by hand, with what the audit and the page call it afterwards.
BY_HAND = {
    "dismiss": (Gap.State.DISMISSED, "dismiss gap", "Dismissed: questions like these are no longer shown here."),
    "reopen": (Gap.State.OPEN, "reopen gap", "The gap is open again."),
    "resolve": (Gap.State.RESOLVED, "resolve gap", "Marked as answered."),
}


class StateFilter(admin.SimpleListFilter):
    """What needs a person, unless something else is asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("resolved", "Answered"), ("dismissed", "Dismissed"), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        default, *others = super().choices(changelist)
        yield {**default, "display": "To do"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "all":
            return queryset
        return queryset.filter(state__in=(self.value(),) if self.value() else TO_DO)


@admin.register(Gap)
class GapAdmin(ReadOnly, DeskAdmin):
    """A gap is found by the program; a person answers or dismisses it."""

    list_display = ("question", "client", "asked", "found", "first_seen", "last_seen")
    list_filter = (StateFilter, CLIENT_FILTER)
    list_select_related = ("client",)
    list_before_template = "admin/desk/gaps_before.html"
    search_fields = ("title",)
    search_help_text = "Search by words of the questions"
    actions = ("dismiss_gaps",)

    def get_queryset(self, request: HttpRequest) -> Any:
        first = GapQuestion.objects.filter(gap=OuterRef("pk")).order_by("at", "pk").values("message__text")[:1]
        return super().get_queryset(request).annotate(first_question=Subquery(first))

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        if not search_term:
            return queryset, False
        said = GapQuestion.objects.filter(gap=OuterRef("pk"), message__text__icontains=search_term)
        return queryset.filter(Exists(said)) | queryset.filter(title__icontains=search_term), False

    @display(description="question")
    def question(self, gap: Any) -> str:
        return Truncator(gap.title or gap.first_question or "(its questions were erased)").chars(90)

    @display(description="state", label=LABELS)
    def found(self, gap: Gap) -> str:
        return gap.get_state_display()

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("look/", view(require_POST(self.look)), name="chat_gap_look"),
            path("<int:pk>/answer/", view(require_POST(self.write)), name="chat_gap_answer"),
            path("<int:pk>/progress/", view(self.progress), name="chat_gap_progress"),
            *(
                path(f"<int:pk>/{act}/", view(require_POST(self.by_hand)), {"act": act}, name=f"chat_gap_{act}")
                for act in BY_HAND
            ),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return super().changelist_view(request, {**(extra_context or {}), "waiting": find.waiting(most=100)})

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        gap = self.row(request, object_id)
        questions = list(gap.questions.select_related("message__session")[:SHOWN])
        asked_again = [question for question in questions if question.asked_again]
        context = {
            **self.admin_site.each_context(request),
            "title": Truncator(self.question(gap)).chars(90),
            "opts": self.opts,
            "gap": gap,
            "questions": questions,
            "more": gap.asked > len(questions),
            "cited": sum(bool(question.again.get("cites")) for question in asked_again),
            "asked_again": len(asked_again),
            "draft": gap.title or (gap.first_question or "")[: answer.LONGEST_QUESTION],
            "longest": (answer.LONGEST_QUESTION, answer.LONGEST_ANSWER),
            "may": request.user.has_perm("chat.change_gap"),  # type: ignore[union-attr]
            "may_write": self._may_write(request),
            "document": documents.row_of(gap.client_id, gap.document) if gap.document else None,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/desk/gap.html", context)

    def write(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make what was written a document; the gap's page follows what becomes of it."""
        gap = self.row(request, pk)
        if not self._may_write(request):
            raise PermissionDenied
        question = request.POST.get("question", "")
        text = request.POST.get("answer", "").replace("\r\n", "\n")  # as browsers count the characters of a text
        try:
            answer.write(gap.client, gap.pk, question, text, request.user.get_username())
        except ApiError as error:
            messages.error(request, error.message)
            return self.change_view(request, str(pk), extra_context={"draft": question, "written": text})
        timetable.soon("chat.tasks.follow_up_gaps")
        audit.note(request, "answer gap", gap, {}, {"question": question[: audit.LONGEST]})
        messages.success(request, "The answer is a document now. When it is read, the questions are asked again.")
        return self._to(gap)

    def progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        """`{"text", "done"}`; sees to it that the questions are asked again as soon as the answer is read."""
        request.polled = True  # type: ignore[attr-defined]
        gap = self.row(request, pk)
        if gap.state != Gap.State.READING:
            return JsonResponse({"text": gap.get_state_display(), "done": True})
        text, ready = answer.progress(gap)
        if ready:
            timetable.soon("chat.tasks.follow_up_gaps")
        return JsonResponse({"text": text, "done": False})

    def by_hand(self, request: HttpRequest, pk: int, act: str) -> HttpResponse:
        """Dismiss, reopen or resolve."""
        gap = self.row(request, pk)
        if not request.user.has_perm("chat.change_gap"):  # type: ignore[union-attr]
            raise PermissionDenied
        state, action, told = BY_HAND[act]
        answer.set_state(gap, state)
        audit.note(request, action, gap, {"state": gap.state}, {"state": str(state)})
        messages.success(request, told)
        return self._to(gap) if act != "dismiss" else HttpResponseRedirect(reverse("admin:chat_gap_changelist"))

    def look(self, request: HttpRequest) -> HttpResponse:
        """Have new questions grouped now rather than within minutes."""
        if not request.user.has_perm("chat.change_gap"):  # type: ignore[union-attr]
            raise PermissionDenied
        timetable.soon("chat.tasks.group_gaps")
        audit.note(request, "group gaps", request.path)
        messages.success(request, "New questions are being sorted. Reload the page in a moment.")
        return HttpResponseRedirect(reverse("admin:chat_gap_changelist"))

    @admin.action(description="Dismiss the selected gaps", permissions=["work"])
    def dismiss_gaps(self, request: HttpRequest, queryset: Any) -> None:
        audit.note_each(request, "dismiss gap", queryset, {"state": Gap.State.DISMISSED.value})
        count = queryset.update(state=Gap.State.DISMISSED, note="")
        messages.success(request, f"{count} dismissed: questions like these are no longer shown here.")

    def has_work_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("chat.change_gap")  # type: ignore[union-attr]

    def _may_write(self, request: HttpRequest) -> bool:
        return request.user.has_perms(("chat.change_gap", "knowledge.add_document"))  # type: ignore[union-attr]

    def _to(self, gap: Gap) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:chat_gap_change", args=(gap.pk,)))
