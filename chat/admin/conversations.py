"""Conversations at the support staff's desk: found, read, exported, erased; never rewritten."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from django.views.decorators.http import require_POST
from unfold.decorators import display

from billing.models import UsageRecord
from chat.models import Message, Session
from tenants import audit
from tenants.desk import CLIENT_FILTER, DeskAdmin, ReadOnly

OUTCOME_LABELS = {"answered": "success", "refused": "warning", "failed": "danger", "running": "info"}
SLOW_MS = 5_000  # from the question to the last word
TURNS_SHOWN = 500
KINDS = {
    "refused": ("Not answered", Q(outcome=Message.Outcome.REFUSED)),
    "down": ("Thumbs-down", Q(rating="down")),
    "failed": ("Error", Q(outcome=Message.Outcome.FAILED)),
    "slow": (f"Slow: over {SLOW_MS // 1000} seconds", Q(last_token_ms__gt=SLOW_MS)),
}


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
        return queryset.filter(Exists(Message.objects.filter(condition, session=OuterRef("pk"))))


@admin.register(Session)
class SessionAdmin(ReadOnly, DeskAdmin):
    """A conversation is read as its visitor saw it, with what only we know beside it."""

    list_display = ("session_id", "client", "first_question", "created", "last_seen")
    search_fields = ("session_id",)
    search_help_text = "Search by words that were said, or by the session's id"
    list_filter = (WithAnswer, CLIENT_FILTER)
    list_select_related = ("client",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("chat.delete_session")  # type: ignore[union-attr]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Who may erase a conversation erases its messages with it, which nobody deletes one by one."""
        found, counts, _, protected = super().get_deleted_objects(objs, request)
        return found, counts, set(), protected

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Words are looked for in the messages, each conversation found once."""
        found, duplicates = super().get_search_results(request, queryset, search_term)
        if not search_term:
            return found, duplicates
        said = Exists(Message.objects.filter(session=OuterRef("pk"), text__icontains=search_term))
        return queryset.filter(Q(pk__in=found.values("pk")) | said), False

    def get_queryset(self, request: HttpRequest) -> Any:
        asked = Message.objects.filter(session=OuterRef("pk"), role=Message.Role.VISITOR).order_by("created", "id")
        return super().get_queryset(request).annotate(question=asked.values("text")[:1])

    @display(description="first question")
    def first_question(self, session: Any) -> str:
        return Truncator(session.question or "").chars(80)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/export.json", view(self.export), name="chat_session_export"),
            path("<int:pk>/erase/", view(require_POST(self.erase)), name="chat_session_erase"),
            *super().get_urls(),
        ]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        session = self._session(request, object_id)
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

    def export(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The whole conversation as JSON, for the visitor who asks what is stored."""
        session = self._session(request, str(pk))
        audit.note(request, "export", f"chat.Session:{session.pk}", client_id=session.client_id)
        body = {
            "sessionId": str(session.session_id),
            "created": session.created.isoformat(),
            "metadata": session.metadata,
            "messages": [_exported(turn) for turn in session.messages.order_by("created", "id")],
        }
        name = f"conversation-{session.session_id}.json"
        disposition = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return JsonResponse(body, json_dumps_params={"indent": 2, "ensure_ascii": False}, headers=disposition)

    def erase(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Erase everything that the visitor said and was told. The ledger holds no content and stays."""
        session = self._session(request, str(pk))
        if not self.has_delete_permission(request, session):
            raise PermissionDenied
        self.delete_model(request, session)
        messages.success(request, "The visitor's conversation is erased.")
        return HttpResponseRedirect(reverse("admin:chat_session_changelist"))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit.note(request, "erase visitor", f"chat.Session:{obj.pk}", client_id=obj.client_id)
        obj.delete()

    def _session(self, request: HttpRequest, object_id: str) -> Session:
        if not self.has_view_permission(request):
            raise PermissionDenied
        session = self.get_object(request, object_id)
        if session is None:
            raise Http404
        return session


@admin.register(Message)
class MessageAdmin(ReadOnly, DeskAdmin):
    list_display = ("created", "client", "role", "said", "state", "model", "last_token_ms", "rating", "conversation")
    list_filter = (WithAnswer, "outcome", "role", "rating", CLIENT_FILTER)
    search_fields = ("text", "trace_id")
    search_help_text = "Search by words that were said, or by a request's trace id"
    list_select_related = ("client",)

    @display(description="outcome", label=OUTCOME_LABELS)
    def state(self, message: Message) -> str:
        return message.outcome

    @display(description="text")
    def said(self, message: Message) -> str:
        return Truncator(message.text).chars(120)

    @display(description="conversation")
    def conversation(self, message: Message) -> str:
        link = reverse("admin:chat_session_change", args=(message.session_id,))
        return format_html('<a class="desk-link" href="{}#turn-{}">open</a>', link, message.pk)


def _add_costs(request: HttpRequest, turns: list[Message]) -> None:
    """Note on each answer what it cost in models, for those who may know."""
    if not request.user.has_perm("tenants.see_costs"):  # type: ignore[union-attr]
        return
    ids = [str(turn.trace_id) for turn in turns]
    by_id = dict(UsageRecord.objects.filter(request_id__in=ids).values_list("request_id", "cost"))
    for turn in turns:
        turn.cost = by_id.get(str(turn.trace_id))  # type: ignore[attr-defined]


def _exported(turn: Message) -> dict[str, Any]:
    values = {"role": turn.role, "text": turn.text, "created": turn.created.isoformat(), "traceId": str(turn.trace_id)}
    if turn.role == Message.Role.ASSISTANT:
        values |= {"outcome": turn.outcome, "sources": turn.sources, "rating": turn.rating, "comment": turn.comment}
    return values
