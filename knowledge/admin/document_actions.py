"""What a person of the desk does with one document: score it, process it again, reindex it, erase it.

These wait for an index or a file, so each opens its scopes itself, briefly.
"""

import uuid

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from knowledge import documents
from knowledge.embeddings import EmbeddingError
from knowledge.models import Chunk, Document, DocumentVersion
from knowledge.pipeline import reindex
from knowledge.search import scores
from knowledge.vectors import VectorError, VectorStore
from tenants import audit, staff
from tenants.errors import ApiError
from tenants.scoping import client_scope

ERASED_AT_ONCE = 50  # the rows of a page of the list
REINDEX_MOST = 500  # passages; a page that is waited for is not the place for more
LONGEST_QUESTION = 2_000  # characters


def search_view(request: HttpRequest, pk: int) -> HttpResponse:
    """How well each passage of the document fits a typed question, and its place among all the client's passages."""
    document = _own(request, pk, "knowledge.view_document")
    question = request.POST.get("question", "").strip()[:LONGEST_QUESTION]
    if request.method != "POST" or not question:
        return render(request, "admin/desk/scores.html", {"error": "Write a question first."})
    try:
        ranked, ranking = async_to_sync(scores)(document.client_id, question)
    except ApiError as error:
        return render(request, "admin/desk/scores.html", {"error": error.message})
    with client_scope(document.client_id):
        chunks = Chunk.objects.filter(version_id=document.live_id).in_bulk([pk for pk, _ in ranked])
        others = Chunk.objects.filter(version_id=document.live_id).count() - len(chunks)
    found = [(place, score, chunks[pk]) for place, (pk, score) in enumerate(ranked, start=1) if pk in chunks]
    context = {"found": found, "others": others, "nearest": len(ranked), "threshold": ranking.threshold}
    return render(request, "admin/desk/scores.html", context)


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
def erase_view(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Erase one document, or those ticked in the list, and show the receipt: what there was, and what is left."""
    if not request.user.has_perm("knowledge.delete_document"):  # type: ignore[union-attr]
        raise PermissionDenied
    chosen = [pk] if pk is not None else numbers(request.POST.getlist("document"))[:ERASED_AT_ONCE]
    receipts = []
    try:
        for document in [_own(request, pk, "knowledge.delete_document") for pk in chosen]:
            receipts.append(_erase(request, document))
    except VectorError:
        messages.error(request, "The index can't be reached right now, so there would be no receipt. Try again later.")
        if not receipts:
            return HttpResponseRedirect(reverse("admin:knowledge_document_changelist"))
    clean = not any(after for _, lines in receipts for _, _, after in lines)
    context = {**admin.site.each_context(request), "title": "Receipt", "receipts": receipts, "clean": clean}
    return render(request, "admin/desk/receipt.html", context)


def _erase(request: HttpRequest, document: Document) -> tuple[Document, list[tuple[str, int, int]]]:
    """Erase it; its receipt is lines of what, how much before, how much now. VectorError before anything is done."""
    with client_scope(document.client_id):
        versions = list(DocumentVersion.objects.filter(document=document).values_list("pk", flat=True))
    before = _left(document.client_id, versions)
    documents.remove(document.client_id, document.external_id)
    after = _left(document.client_id, versions)
    audit.note(request, "erase", document, before, after)
    return document, [(name, before[name], after[name]) for name in before]


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


def numbers(texts: list[str]) -> list[int]:
    """Those of the texts that can be a row's number."""
    return [int(text) for text in texts if text.isdecimal() and len(text) < 19]


def _to(request: HttpRequest, document: Document, message: str, good: bool = True) -> HttpResponse:
    messages.add_message(request, messages.SUCCESS if good else messages.ERROR, message)
    return HttpResponseRedirect(reverse("admin:knowledge_document_change", args=(document.pk,)))
