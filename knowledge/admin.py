"""Documents at the support staff's desk: upload, watch, process again."""

import uuid
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from knowledge import callbacks, documents
from knowledge.models import Callback, Chunk, Document, DocumentVersion
from tenants.errors import ApiError
from tenants.models import Client

LABELS = {"completed": "success", "failed": "danger", "pending": "info"}


class UploadForm(forms.ModelForm):
    """A new document of a client; its type is its name's ending."""

    client = forms.ModelChoiceField(Client.objects.all())
    file = forms.FileField(help_text="PDF, DOCX, TXT or CSV.")

    class Meta:
        model = Document
        fields = ("client",)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("client") and cleaned.get("file"):
            self.upload = self._checked(cleaned["file"])
        return cleaned

    def _checked(self, file: Any) -> documents.Upload:
        file_type = file.name.rpartition(".")[2].lower()
        if file_type not in documents.FILE_TYPES:
            raise forms.ValidationError("Only PDF, DOCX, TXT and CSV files can be read.")
        upload = documents.Upload(f"admin-{uuid.uuid4()}", file.read(), file_type, file.name[:255])
        try:
            documents.check(upload)
        except ApiError as error:
            raise forms.ValidationError(error.message) from error
        return upload


class VersionInline(TabularInline):
    model = DocumentVersion
    fields = ("number", "original_name", "status", "error_message", "chunks_total", "created", "finished")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Document)
class DocumentAdmin(ModelAdmin):
    list_display = ("title", "client", "external_id", "state", "progress", "updated")
    list_filter = ("latest__status", "client")
    search_fields = ("title", "external_id")
    list_select_related = ("client", "latest")
    show_full_result_count = False
    inlines = (VersionInline,)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if obj else UploadForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("client", "title", "external_id", "metadata") if obj else ("client", "file")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("client", "external_id", "metadata") if obj else ()

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        if change:
            return super().save_form(request, form, change)
        return documents.submit(form.cleaned_data["client"], form.upload).document

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Document) -> None:
        documents.remove(obj.client_id, obj.external_id)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for document in queryset:
            self.delete_model(request, document)

    @display(description="status", label=LABELS)
    def state(self, document: Document) -> str:
        return document.latest.status if document.latest else ""

    @display(description="progress")
    def progress(self, document: Document) -> str:
        return f"{document.latest.progress} %" if document.latest else ""


@admin.register(Chunk)
class ChunkAdmin(ModelAdmin):
    list_display = ("version", "index", "tokens", "page_from", "text")
    search_fields = ("text",)
    list_select_related = ("version",)
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Callback)
class CallbackAdmin(ModelAdmin):
    """What Express was not told yet, and what it could not be told within three days (no next attempt)."""

    list_display = ("document", "client", "status", "attempts", "last_error", "created", "next_attempt")
    list_filter = (("next_attempt", admin.EmptyFieldListFilter), "status", "client")
    list_select_related = ("document", "client")
    show_full_result_count = False
    actions = ("deliver_again",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Deliver again", permissions=["view"])
    def deliver_again(self, request: HttpRequest, queryset: Any) -> None:
        self.message_user(request, f"{callbacks.deliver_again(queryset)} callbacks will be sent soon.")
