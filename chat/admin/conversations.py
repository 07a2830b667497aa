"""Conversations at the support staff's desk: found, read, exported, erased; never rewritten."""

import csv
import io
import uuid
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator
from django.views.decorators.http import require_POST
from unfold.decorators import display

from billing.models import UsageRecord
from chat import visitors
from chat.admin.people import WithPerson, live_page, person_of
from chat.models import SLOW_MS, Message, Session, SessionErasure
from tenants import audit
from tenants.desk import CLIENT_FILTER, DeskAdmin, ReadOnly
from tenants.streamed import json_download

OUTCOME_LABELS = {"answered": "success", "refused": "warning", "failed": "danger", "running": "info"}
TURNS_SHOWN = 500
SEARCHED = 100_000  # messages, the newest; no index finds words, and a list must not read millions
CSV_COLUMNS = ("created", "role", "text", "outcome", "sources", "rating", "comment", "model", "tokens", "milliseconds",
               "trace id")  # fmt: skip
KINDS = {
    "refused": ("Not answered", Q(outcome=Message.Outcome.REFUSED)),
    "down": ("Thumbs-down", Q(rating="down")),
    "failed": ("Error", Q(outcome=Message.Outcome.FAILED)),
    "slow": (f"Slow: over {SLOW_MS // 1000} seconds", Q(last_token_ms__gt=SLOW_MS)),
}
SIGNS = {"refused": "warn", "down": "bad", "failed": "bad", "slow": "warn"}  # how a list marks them


class WithAnswer(admin.SimpleListFilter):
    """Conversations, or answers, with something to look into."""

    title = "what went wrong"
    parameter_name = "with"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        kind = self.value() or ""
        if kind not in KINDS:
            return queryset
        condition = KINDS[kind][1]
        if queryset.model is Message:
            return queryset.filter(condition)
        return queryset.filter(pk__in=Message.objects.filter(condition).values("session"))


def _said(words: str) -> QuerySet[Message]:
    """The messages with these words among the newest SEARCHED in scope."""
    newest = Message.objects.order_by("-created").values("pk")[:SEARCHED]
    return Message.objects.filter(pk__in=newest, text__icontains=words)


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None


class SearchedForWords(ReadOnly, DeskAdmin):
    """Where there are more messages than a search looks at, who searches for words is told so."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        words = request.GET.get("q", "")
        for_words = words and _id(words) is None and self.has_view_permission(request)
        if for_words and Message.objects.order_by("-created")[SEARCHED : SEARCHED + 1].exists():
            messages.info(request, f"Words are looked for in the newest {SEARCHED:,} messages.")
        return super().changelist_view(request, extra_context)


@admin.register(Session)
class SessionAdmin(SearchedForWords):
    """A conversation is read as its visitor saw it, with what only we know beside it."""

    list_display = ("first_question", "client", "signs", "person", "created", "last_seen")
    search_fields = ("session_id",)
    search_help_text = "Search by words said, or by an id"
    list_filter = (WithAnswer, WithPerson, CLIENT_FILTER)
    list_select_related = ("client",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("chat.delete_session")  # type: ignore[union-attr]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Who may erase a conversation erases its messages with it, which nobody deletes one by one."""
        found, counts, _, protected = super().get_deleted_objects(objs, request)
        return found, counts, set(), protected

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """By a whole id, or by words, each conversation found once."""
        if not search_term:
            return queryset, False
        if wanted := _id(search_term):
            of_request = Message.objects.filter(trace_id=wanted).values("session")
            return queryset.filter(Q(session_id=wanted) | Q(pk__in=of_request)), False
        return queryset.filter(pk__in=_said(search_term).values("session")), False

    def get_queryset(self, request: HttpRequest) -> Any:
        said = Message.objects.filter(session=OuterRef("pk"))
        asked = said.filter(role=Message.Role.VISITOR).order_by("created", "id")
        wrong = {f"with_{name}": Exists(said.filter(condition)) for name, (_, condition) in KINDS.items()}
        return super().get_queryset(request).annotate(question=Subquery(asked.values("text")[:1]), **wrong)

    @display(description="first question")
    def first_question(self, session: Any) -> str:
        return Truncator(session.question or "(nothing was said)").chars(80)

    @display(description="what went wrong")
    def signs(self, session: Session) -> str:
        """A small label for each kind of answer that somebody should look into."""
        shown = [name for name in KINDS if getattr(session, f"with_{name}")]
        labels = ((SIGNS[name], KINDS[name][0].partition(":")[0]) for name in shown)
        return format_html_join(" ", '<span class="desk-badge {}">{}</span>', labels)

    @display(description="person", label={"waiting": "warning", "answering": "success"})
    def person(self, session: Session) -> tuple[str, str] | None:
        return person_of(session)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/live/", view(self.live), name="chat_session_live"),
            path("<int:pk>/export.json", view(self.export), name="chat_session_export"),
            path("<int:pk>/export.csv", view(self.export_csv), name="chat_session_export_csv"),
            path("<int:pk>/erase/", view(require_POST(self.erase)), name="chat_session_erase"),
            *super().get_urls(),
        ]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        session = self.row(request, object_id)
        turns = list(session.messages.order_by("created", "id")[:TURNS_SHOWN])
        _add_costs(request, turns)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Conversation of {session.created:%-d %B %Y, %H:%M}",
            "opts": self.opts,
            "session": session,
            "turns": turns,
            "shown": TURNS_SHOWN if len(turns) == TURNS_SHOWN else 0,
            "may_erase": self.has_delete_permission(request),
            "slow": SLOW_MS,
        }
        return TemplateResponse(request, "admin/desk/transcript.html", context)

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The conversation as it goes on, and a person's part in it."""
        return live_page(self, request, self.row(request, pk))

    def export(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """All that is held of the conversation, for the visitor who asks; as the visitor can have it themselves."""
        session = self.row(request, pk)
        audit.note(request, "export", f"chat.Session:{session.pk}", client_id=session.client_id)
        return json_download(visitors.exported(session), _file_name(session, "json"))

    def export_csv(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The turns as a table, for people who work with spreadsheets."""
        session = self.row(request, pk)
        audit.note(request, "export", f"chat.Session:{session.pk}", client_id=session.client_id)
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(_line(turn) for turn in session.messages.order_by("created", "id"))
        name = _file_name(session, "csv")
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return HttpResponse("\ufeff" + lines.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)

    def erase(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Erase all that the visitor said and was told, with a receipt. The ledger holds no content and stays."""
        session = self.row(request, pk)
        if not self.has_delete_permission(request, session):
            raise PermissionDenied
        receipt = self._erase(request, session)
        context = {
            **self.admin_site.each_context(request),
            "title": "Receipt",
            "opts": self.opts,
            "session": session,
            "lines": [(name, count, receipt.after[name]) for name, count in receipt.before.items()],
        }
        return TemplateResponse(request, "admin/desk/visitor_erased.html", context)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._erase(request, obj)

    def _erase(self, request: HttpRequest, session: Session) -> SessionErasure:
        """The receipt; the audit keeps its figures."""
        about = f"chat.Session:{session.pk}"
        receipt = visitors.erase_with_change(session)
        audit.note(request, "erase visitor", about, receipt.before, receipt.after, session.client_id)
        return receipt


def _file_name(session: Session, ending: str) -> str:
    return f"conversation-{session.session_id}.{ending}"


@admin.register(Message)
class MessageAdmin(SearchedForWords):
    list_display = ("created", "client", "role", "said", "state", "model", "last_token_ms", "rating", "conversation")
    list_filter = (WithAnswer, "outcome", "role", "rating", CLIENT_FILTER)
    search_fields = ("trace_id",)
    search_help_text = "Search by words said, or by a trace id"
    list_select_related = ("client",)
    ordering = ("-created", "-id")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only with the whole conversation."""
        match = request.resolver_match
        with_session = match is not None and match.url_name in ("chat_session_delete", "chat_session_changelist")
        return with_session and request.user.has_perm("chat.delete_message")  # type: ignore[union-attr]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """A message is read in its conversation."""
        return HttpResponseRedirect(_turn_url(self.row(request, object_id)))

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        if not search_term:
            return queryset, False
        if wanted := _id(search_term):
            return queryset.filter(trace_id=wanted), False
        return queryset.filter(pk__in=_said(search_term).values("pk")), False

    @display(description="outcome", label=OUTCOME_LABELS)
    def state(self, message: Message) -> str:
        return message.outcome

    @display(description="text")
    def said(self, message: Message) -> str:
        return Truncator(message.text).chars(120)

    @display(description="conversation")
    def conversation(self, message: Message) -> str:
        return format_html('<a class="desk-link" href="{}">open</a>', _turn_url(message))


def _turn_url(message: Message) -> str:
    return reverse("admin:chat_session_change", args=(message.session_id,)) + f"#turn-{message.pk}"


def _add_costs(request: HttpRequest, turns: list[Message]) -> None:
    """Note on each answer what it cost in models, for those who may know."""
    if not request.user.has_perm("tenants.see_costs"):  # type: ignore[union-attr]
        return
    ids = [str(turn.trace_id) for turn in turns]
    by_id = dict(UsageRecord.objects.filter(request_id__in=ids).values_list("request_id", "cost"))
    for turn in turns:
        turn.cost = by_id.get(str(turn.trace_id))  # type: ignore[attr-defined]


def _line(turn: Message) -> tuple[Any, ...]:
    """A turn under CSV_COLUMNS. A spreadsheet would take a text that begins like a formula for one."""
    sources = "; ".join(str(source.get("title", "")) for source in turn.sources if isinstance(source, dict))
    texts = [
        f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
        for text in (turn.text, sources, turn.comment)
    ]
    tokens = turn.prompt_tokens + turn.completion_tokens or ""
    time = "" if turn.last_token_ms is None else turn.last_token_ms
    return (turn.created.isoformat(), turn.role, texts[0], turn.outcome, texts[1], turn.rating, texts[2], turn.model,
            tokens, time, turn.trace_id)  # fmt: skip
