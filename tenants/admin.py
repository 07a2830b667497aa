"""Clients, widgets and keys at the support staff's desk."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from tenants import keys
from tenants.models import ApiKey, Client, WidgetConfig

STATUS_LABELS = {"active": "success", "paused": "warning", "disabled": "danger"}


@admin.register(Client)
class ClientAdmin(ModelAdmin):
    list_display = ("name", "state", "tier", "id", "created")
    list_filter = ("status", "tier")
    search_fields = ("name", "id")
    readonly_fields = ("id", "created")
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("name", "status", "tier", "id", "created")}),
        ("Where the widget may run", {"fields": ("allowed_domains", "require_origin")}),
        ("Answers", {"fields": ("model", "instructions", "no_answer_text")}),
        (
            "Limits and bill",
            {"fields": ("hourly_limit", "hard_cap", "overage_cents", "alert_threshold", "alert_email")},
        ),
    )

    @display(description="status", label=STATUS_LABELS)
    def state(self, client: Client) -> str:
        return client.status


@admin.register(WidgetConfig)
class WidgetConfigAdmin(ModelAdmin):
    list_display = ("client", "widget_name", "primary_color", "position")
    search_fields = ("client__name", "widget_name")
    list_select_related = ("client",)


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """A key is made here and shown once; after that it can only be revoked."""

    list_display = ("hint", "client", "kind", "name", "scopes", "last_used", "expires", "revoked")
    list_filter = ("kind",)
    search_fields = ("hint", "name", "client__name")
    list_select_related = ("client",)
    show_full_result_count = False
    actions = ("revoke_keys",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.list_display if obj else ("client", "kind", "name", "scopes", "expires")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.list_display if obj else ()

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            return
        row, key = keys.mint(obj.client_id, obj.kind, name=obj.name, scopes=obj.scopes, expires=obj.expires)
        obj.pk, obj.hint, obj.digest = row.pk, row.hint, row.digest
        messages.success(request, f"The key, shown this once: {key}")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Revoke the selected keys")
    def revoke_keys(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset:
            keys.revoke(row)
        messages.success(request, "Revoked.")
