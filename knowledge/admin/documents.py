"""Documents at the desk: a list, a page for each, uploads and their progress."""

import uuid
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST
from unfold.decorators import display

from knowledge import documents
from knowledge.admin import document_actions
from knowledge.models import Chunk, Document, DocumentVersion
from tenants import audit, staff
from tenants.desk import CHOOSER_MEDIA, CLIENT_FILTER, DeskAdmin, ReadOnly, choose_client, clients_of
from tenants.errors import ApiError
from tenants.models import Client

LABELS = {**dict.fromkeys(DocumentVersion.Status.values, "info"), "completed": "success", "failed": "danger"}
CHUNKS_A_PAGE = 25
POLLED_AT_ONCE = 100


class ClientChoice(forms.Form):
    """Whose documents they will be."""

    client = forms.ModelChoiceField(Client.objects.none(), required=True)

    def __init__(self, request: HttpRequest):
        super().__init__(initial={"client": next(iter(_uuids(request.GET.get("client", ""))), None)})
        choose_client(self.fields["client"], request, Document, {"id": "desk-client"})

    @property
    def media(self) -> forms.Media:
        return CHOOSER_MEDIA


class StatusFilter(admin.SimpleListFilter):
    """By how far the newest upload has come."""

    title = "status"
    parameter_name = "status"
    STATES = {
        "ready": ("Ready", [DocumentVersion.Status.COMPLETED]),
        "working": ("Being read", list(DocumentVersion.UNFINISHED)),
        "failed": ("Failed", [DocumentVersion.Status.FAILED]),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in self.STATES.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        state = self.value() or ""
        return queryset.filter(latest__status__in=self.STATES[state][1]) if state in self.STATES else queryset


@admin.register(Document)
class DocumentAdmin(DeskAdmin):
    """A document with its versions and passages. Its content changes by a new upload only."""

    list_display = ("title", "client", "state", "progress", "external_id", "updated")
    list_filter = (StatusFilter, CLIENT_FILTER)
    search_fields = ("title", "external_id")
    search_help_text = "Search by title or document id"
    list_select_related = ("client", "latest")
    actions = ("erase",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("latest__text")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # nothing of it is edited; `may` below asks for the permission to work on it

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a document is erased by the views that show a receipt

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("upload/", view(require_POST(self.upload)), name="knowledge_document_upload"),
            path("progress/", view(self.progress_view), name="knowledge_document_progress"),
            path("erase/", view(document_actions.erase_view), name="knowledge_document_erase_several"),
            path("<int:pk>/search/", view(document_actions.search_view), name="knowledge_document_search"),
            path("<int:pk>/again/", view(document_actions.again_view), name="knowledge_document_again"),
            path("<int:pk>/reindex/", view(document_actions.reindex_view), name="knowledge_document_reindex"),
            path("<int:pk>/erase/", view(document_actions.erase_view), name="knowledge_document_erase"),
            *super().get_urls(),
        ]

    @admin.action(description="Erase the selected documents", permissions=["erase"])
    def erase(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        """Ask once more; the answer goes to the view that erases and shows the receipt."""
        rows = list(queryset.select_related("client")[: document_actions.ERASED_AT_ONCE])
        context = {**self.admin_site.each_context(request), "title": "Erase documents", "opts": self.opts}
        return TemplateResponse(request, "admin/desk/erase_documents.html", {**context, "documents": rows})

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("knowledge.delete_document")  # type: ignore[union-attr]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Where files are dropped."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ClientChoice(request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Upload documents",
            "opts": self.opts,
            "only": clients_of(request).first() if staff.only_client(request.user) else None,
            "form": form,
        }
        return TemplateResponse(request, "admin/desk/upload.html", context)

    def upload(self, request: HttpRequest) -> HttpResponse:
        """One file, answered with its version to follow: `{"version", "url"}`, or `{"error"}` with a 4xx.

        With "document" it is a new version of that one, otherwise a new document of "client".
        """
        client, document = self._addressee(request)
        file = request.FILES.get("file")
        if file is None or client is None:
            return JsonResponse({"error": "Choose a client and a file."}, status=400)
        name = (file.name or "")[:255]
        file_type = name.rpartition(".")[2].lower()
        if file_type not in documents.FILE_TYPES:
            return JsonResponse({"error": "Only PDF, DOCX, TXT and CSV files can be read."}, status=415)
        if file.size > settings.MAX_DOCUMENT_BYTES:
            return JsonResponse({"error": documents.too_large().message}, status=413)
        external_id = document.external_id if document else f"admin-{uuid.uuid4()}"
        metadata = document.metadata if document else {}
        latest = document.latest_id if document else None
        try:
            version = documents.submit(client, documents.Upload(external_id, file.read(), file_type, name, metadata))
        except ApiError as error:
            return JsonResponse({"error": error.message}, status=error.status)
        if version.pk == latest:
            return JsonResponse({"error": "This is the content that the document has already."}, status=409)
        values = {"file": version.original_name, "bytes": version.size, "version": version.number}
        audit.note(request, "upload", version.document, {}, values)
        url = reverse("admin:knowledge_document_change", args=(version.document_id,))
        return JsonResponse({"version": version.pk, "url": url})

    def _addressee(self, request: HttpRequest) -> tuple[Client | None, Document | None]:
        """Whose upload it is, and which document it is a version of; PermissionDenied, or 404 for another's."""
        if "document" not in request.POST:
            if not self.has_add_permission(request):
                raise PermissionDenied
            return clients_of(request).filter(pk__in=_uuids(request.POST.get("client", ""))).first(), None
        if not request.user.has_perm("knowledge.change_document"):  # type: ignore[union-attr]
            raise PermissionDenied
        wanted = document_actions.numbers([request.POST["document"]])
        document = get_object_or_404(Document.objects.select_related("client"), pk__in=wanted)
        return document.client, document

    def progress_view(self, request: HttpRequest) -> HttpResponse:
        """How far the asked versions are: `{"versions": {id: {"status", "text", "done"}}}`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        wanted = document_actions.numbers(request.GET.getlist("version")[:POLLED_AT_ONCE])
        request.polled = str(sorted(wanted))  # type: ignore[attr-defined]
        found = DocumentVersion.objects.filter(pk__in=wanted).defer("text")
        return JsonResponse({"versions": {str(version.pk): _progress(version) for version in found}})

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        document = self.row(request, object_id)
        shown = document.live_id or document.latest_id
        chunks = Chunk.objects.filter(version_id=shown).order_by("index")
        context = {
            **self.admin_site.each_context(request),
            "title": document.title,
            "opts": self.opts,
            "original": document,
            "document": document,
            "versions": list(document.versions.defer("text").order_by("-number")[:CHUNKS_A_PAGE]),
            "chunks": Paginator(chunks, CHUNKS_A_PAGE).get_page(request.GET.get("p")),
            "may": request.user.has_perm("knowledge.change_document"),  # type: ignore[union-attr]
            "may_erase": request.user.has_perm("knowledge.delete_document"),  # type: ignore[union-attr]
        }
        return TemplateResponse(request, "admin/desk/document.html", context)

    @display(description="status", label=LABELS)
    def state(self, document: Document) -> tuple[str, str] | str:
        """In the words of the document's own page."""
        return (document.latest.status, document.latest.step) if document.latest else ""

    @display(description="progress")
    def progress(self, document: Document) -> str:
        return f"{document.latest.progress} %" if document.latest else ""


@admin.register(Chunk)
class ChunkAdmin(ReadOnly, DeskAdmin):
    list_display = ("version", "index", "tokens", "page_from", "excerpt")
    list_filter = (CLIENT_FILTER,)
    search_fields = ("text",)
    search_help_text = "Search in the text of passages"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("version").defer("version__text")

    @display(description="text")
    def excerpt(self, chunk: Chunk) -> str:
        return chunk.text[:160]


def _progress(version: DocumentVersion) -> dict[str, Any]:
    done = version.status in DocumentVersion.FINAL
    text = version.step if done else f"{version.step} ({version.progress} %)"
    if version.error_message:
        text = f"{text}: {version.error_message}"
    return {"status": version.status, "text": text, "percent": version.progress, "done": done}


def _uuids(text: str) -> list[uuid.UUID]:
    """The id that the text is, or none."""
    try:
        return [uuid.UUID(text)]
    except ValueError:
        return []
