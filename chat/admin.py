"""Conversations at the support staff's desk: read, never rewritten."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from chat.models import Message, Session

OUTCOME_LABELS = {"answered": "success", "refused": "warning", "failed": "danger", "running": "info"}


class ReadOnly:
    """Transcripts are records."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MessageInline(ReadOnly, TabularInline):
    model = Message
    fields = (
        "created",
        "role",
        "text",
        "outcome",
        "model",
        "prompt_tokens",
        "completion_tokens",
        "last_token_ms",
        "rating",
    )
    readonly_fields = fields
    extra = 0
    can_delete = False


@admin.register(Session)
class SessionAdmin(ReadOnly, ModelAdmin):
    list_display = ("session_id", "client", "created", "last_seen")
    search_fields = ("session_id", "client__name", "messages__text")
    list_filter = ("client",)
    list_select_related = ("client",)
    show_full_result_count = False
    inlines = (MessageInline,)


@admin.register(Message)
class MessageAdmin(ReadOnly, ModelAdmin):
    list_display = ("created", "client", "role", "text", "state", "model", "last_token_ms", "rating")
    list_filter = ("outcome", "role", "rating", "client")
    search_fields = ("text", "trace_id")
    list_select_related = ("client",)
    show_full_result_count = False

    @display(description="outcome", label=OUTCOME_LABELS)
    def state(self, message: Message) -> str:
        return message.outcome
