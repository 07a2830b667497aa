"""Undelivered callbacks at the desk."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from knowledge import callbacks
from knowledge.models import Callback
from tenants import audit
from tenants.desk import CLIENT_FILTER, DeskAdmin, ReadOnly


@admin.register(Callback)
class CallbackAdmin(ReadOnly, DeskAdmin):
    """What Express was not told yet, and what it could not be told within three days (no next attempt)."""

    list_display = ("document", "client", "status", "attempts", "last_error", "created", "next_attempt")
    list_filter = (("next_attempt", admin.EmptyFieldListFilter), "status", CLIENT_FILTER)
    list_select_related = ("document", "client")
    actions = ("deliver_again",)

    @admin.action(description="Deliver again", permissions=["view"])
    def deliver_again(self, request: HttpRequest, queryset: Any) -> None:
        audit.note_each(request, "deliver again", queryset.defer("body"), {"attempts": 0})
        self.message_user(request, f"{callbacks.deliver_again(queryset)} callbacks will be sent soon.")
