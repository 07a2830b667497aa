"""What Express has not been told yet."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from knowledge import callbacks
from knowledge.models import Callback
from tenants.desk import DeskAdmin, ReadOnly


@admin.register(Callback)
class CallbackAdmin(ReadOnly, DeskAdmin):
    """Callbacks under way, and those that could not be delivered within three days (they have no next attempt)."""

    list_display = ("document", "client", "status", "attempts", "last_error", "created", "next_attempt")
    list_filter = (("next_attempt", admin.EmptyFieldListFilter), "status")
    list_select_related = ("document", "client")
    actions = ("deliver_again",)

    @admin.action(description="Deliver again", permissions=["view"])
    def deliver_again(self, request: HttpRequest, queryset: Any) -> None:
        self.message_user(request, f"{callbacks.deliver_again(queryset)} callbacks will be sent soon.")
