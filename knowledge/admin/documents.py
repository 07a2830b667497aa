"""Documents at the desk: upload, watch, look inside, process again, erase."""

import uuid
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST
from unfold.decorators import display

from knowledge import documents
from knowledge.embeddings import EmbeddingError
from knowledge.models import Chunk, Document, DocumentVersion
from knowledge.pipeline import reindex
from knowledge.search import search
from knowledge.vectors import VectorError, VectorStore
from tenants import audit, staff
from tenants.desk import CLIENT_FILTER, DeskAdmin, ReadOnly, clients_of
from tenants.errors import ApiError
from tenants.scoping import client_scope

LABELS = {"completed": "success", "failed": "danger", "pending": "info"}
CHUNKS_A_PAGE = 25
POLLED_AT_ONCE = 100
REINDEX_MOST = 500  # passages; a page that is waited for is not the place for more
SEARCHED = 20


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

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("latest__text")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # nothing of it is edited; `may` below asks for the permission to work on it

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("upload/", view(require_POST(self.upload)), name="knowledge_document_upload"),
            path("progress/", view(self.progress_view), name="knowledge_document_progress"),
            path("<int:pk>/search/", view(search_view), name="knowledge_document_search"),
            path("<int:pk>/again/", view(again_view), name="knowledge_document_again"),
            path("<int:pk>/reindex/", view(reindex_view), name="knowledge_document_reindex"),
            path("<int:pk>/erase/", view(erase_view), name="knowledge_document_erase"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Where files are dropped."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Upload documents",
            "opts": self.opts,
            "clients": clients_of(request),
            "chosen": request.GET.get("client", ""),
        }
        return TemplateResponse(request, "admin/desk/upload.html", context)

    def upload(self, request: HttpRequest) -> HttpResponse:
        """One file, answered with its version to follow: `{"version", "url"}`, or `{"error"}` with a 4xx."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        file = request.FILES.get("file")
        client = clients_of(request).filter(pk__in=_uuids(request.POST.get("client", ""))).first()
        if file is None or client is None:
            return JsonResponse({"error": "Choose a client and a file."}, status=400)
        file_type = (file.name or "").rpartition(".")[2].lower()
        if file_type not in documents.FILE_TYPES:
            return JsonResponse({"error": "Only PDF, DOCX, TXT and CSV files can be read."}, status=415)
        if file.size > settings.MAX_DOCUMENT_BYTES:
            return JsonResponse({"error": documents.too_large().message}, status=413)
        upload = documents.Upload(f"admin-{uuid.uuid4()}", file.read(), file_type, (file.name or "")[:255])
        try:
            version = documents.submit(client, upload)
        except ApiError as error:
            return JsonResponse({"error": error.message}, status=error.status)
        audit.note(request, "upload", version.document, {}, {"file": version.original_name, "bytes": version.size})
        url = reverse("admin:knowledge_document_change", args=(version.document_id,))
        return JsonResponse({"version": version.pk, "url": url})

    def progress_view(self, request: HttpRequest) -> HttpResponse:
        """How far the asked versions are: `{"versions": {id: {"status", "text", "done"}}}`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.polled = True  # type: ignore[attr-defined]
        wanted = [int(pk) for pk in request.GET.getlist("version")[:POLLED_AT_ONCE] if pk.isdecimal() and len(pk) < 19]
        found = DocumentVersion.objects.filter(pk__in=wanted).defer("text")
        return JsonResponse({"versions": {str(version.pk): _progress(version) for version in found}})

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        document = self.get_object(request, object_id) if self.has_view_permission(request) else None
        if document is None:
            if self.has_view_permission(request):
                raise Http404
            raise PermissionDenied
        shown = document.live_id or document.latest_id
        chunks = Chunk.objects.filter(version_id=shown).order_by("index")
        context = {
            **self.admin_site.each_context(request),
            "title": document.title,
            "opts": self.opts,
            "document": document,
            "versions": list(document.versions.defer("text").order_by("-number")[:CHUNKS_A_PAGE]),
            "chunks": Paginator(chunks, CHUNKS_A_PAGE).get_page(request.GET.get("p")),
            "may": request.user.has_perm("knowledge.change_document"),  # type: ignore[union-attr]
            "may_erase": request.user.has_perm("knowledge.delete_document"),  # type: ignore[union-attr]
        }
        return TemplateResponse(request, "admin/desk/document.html", context)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit.note(request, "erase", obj, audit.snapshot(obj))
        documents.remove(obj.client_id, obj.external_id)

    @display(description="status", label=LABELS)
    def state(self, document: Document) -> str:
        return document.latest.status if document.latest else ""

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


# --- what waits for an index or a file: each opens its scopes itself, briefly ---------------------------------------


def search_view(request: HttpRequest, pk: int) -> HttpResponse:
    """How well the document's passages fit a typed question, and which passages of others fit better."""
    document = _own(request, pk, "knowledge.view_document")
    question = request.POST.get("question", "").strip()[:2000]
    if request.method != "POST" or not question:
        return render(request, "admin/desk/scores.html", {"error": "Write a question first."})
    try:
        passages = async_to_sync(search)(document.client_id, question, limit=SEARCHED)
    except ApiError as error:
        return render(request, "admin/desk/scores.html", {"error": error.message})
    return render(request, "admin/desk/scores.html", {"passages": passages, "document": document})


@require_POST
def again_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Process a failed upload once more, from the file as it was sent."""
    document = _own(request, pk, "knowledge.change_document")
    version = document.latest
    if version is None or version.status != DocumentVersion.Status.FAILED or not version.file:
        return _to(request, document, "Only a failed upload whose file is still here can be processed again.", False)
    try:
        data = version.file.read()
        upload = documents.Upload(
            document.external_id, data, version.file_type, version.original_name, document.metadata
        )
        documents.submit(document.client, upload)
    except (OSError, ApiError) as error:
        return _to(request, document, getattr(error, "message", "The stored file can't be read."), False)
    audit.note(request, "process again", document)
    return _to(request, document, "The file is being read again.")


@require_POST
def reindex_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Make the vectors of the version that answers anew from its stored passages."""
    document = _own(request, pk, "knowledge.change_document")
    live = reindex.live_versions(str(document.client_id), document.external_id)
    if not live:
        return _to(request, document, "No version of this document answers yet, so there is nothing to index.", False)
    if live[0].chunks > REINDEX_MOST:
        hint = f"manage.py reindex --client {document.client_id} --document {document.external_id}"
        return _to(request, document, f"With {live[0].chunks} passages this takes a while: run {hint}", False)
    try:
        done = reindex.rebuild(live[0])
    except (VectorError, EmbeddingError):
        return _to(request, document, "The index can't be reached right now. Try again in a minute.", False)
    audit.note(request, "reindex", document)
    return _to(request, document, f"{done} passages are indexed anew.")


@require_POST
def erase_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Erase a document, and show the receipt: what there was, and what is left."""
    document = _own(request, pk, "knowledge.delete_document")
    with client_scope(document.client_id):
        versions = list(DocumentVersion.objects.filter(document=document).values_list("pk", flat=True))
    try:
        before = _left(document.client_id, versions)
        documents.remove(document.client_id, document.external_id)
        after = _left(document.client_id, versions)
    except VectorError:
        return _to(request, document, "The index can't be reached right now, so there would be no receipt.", False)
    audit.note(request, "erase", document, before, after)
    context = {
        **admin.site.each_context(request),
        "title": "Receipt",
        "document": document,
        "lines": [(name, before[name], after[name]) for name in before],
        "clean": not any(after.values()),
    }
    return render(request, "admin/desk/receipt.html", context)


for _view in (search_view, again_view, reindex_view, erase_view):
    _view.scopes_itself = True  # type: ignore[attr-defined]


def _own(request: HttpRequest, pk: int, permission: str) -> Document:
    """The document with its client and newest version, if this person may do that with it; 403 or 404 otherwise."""
    if not request.user.has_perm(permission):  # type: ignore[union-attr]
        raise PermissionDenied
    with staff.scope(request.user):
        document = get_object_or_404(Document.objects.select_related("client", "latest__document"), pk=pk)
    request.audit_about = document  # type: ignore[attr-defined]
    return document


def _left(client_id: uuid.UUID, versions: list[int]) -> dict[str, int]:
    """How much there is of these versions: rows, and points in the index."""
    with client_scope(client_id):
        counts = {
            "Versions": DocumentVersion.objects.filter(pk__in=versions).count(),
            "Stored files": DocumentVersion.objects.filter(pk__in=versions).exclude(file="").count(),
            "Passages": Chunk.objects.filter(version_id__in=versions).count(),
        }
    store = VectorStore.for_client(client_id)
    return {**counts, "Points in the index": sum(store.count(pk) for pk in versions)}


def _to(request: HttpRequest, document: Document, message: str, good: bool = True) -> HttpResponse:
    messages.add_message(request, messages.SUCCESS if good else messages.ERROR, message)
    return HttpResponseRedirect(reverse("admin:knowledge_document_change", args=(document.pk,)))


def _progress(version: DocumentVersion) -> dict[str, Any]:
    done = version.status in DocumentVersion.FINAL
    text = version.step if done else f"{version.step} ({version.progress} %)"
    if version.error_message:
        text = f"{text}: {version.error_message}"
    return {"status": version.status, "text": text, "done": done}


def _uuids(text: str) -> list[uuid.UUID]:
    """The id that the text is, or none."""
    try:
        return [uuid.UUID(text)]
    except ValueError:
        return []
