"""The verbs on a client's documents: submit, look up, remove."""

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import transaction
from django.db.models import F

from billing.plans import plan_of
from knowledge import queue
from knowledge.models import Chunk, Document, DocumentVersion
from knowledge.parsers import check_type
from knowledge.vectors import VectorStore
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope, unscoped

FILE_TYPES = ("pdf", "docx", "txt", "csv")


@dataclass(frozen=True)
class Upload:
    """A document as its caller sends it; `data` is the file's bytes."""

    document_id: str
    data: bytes
    file_type: str
    original_name: str
    metadata: dict[str, Any] = field(default_factory=dict)


def submit(client: Client, upload: Upload) -> DocumentVersion:
    """Store an upload and queue its ingestion. The same content again returns the existing version.

    ApiError 413, 415 or 402 (the plan's document count). File and rows are stored in one transaction,
    the job is queued after it; a lock on the client's row makes simultaneous uploads take turns.
    """
    check(upload)
    sha256 = hashlib.sha256(upload.data).hexdigest()
    with client_scope(client.pk):
        client = Client.objects.select_for_update().get(pk=client.pk)
        document = Document.objects.filter(external_id=upload.document_id).select_related("latest").first()
        if document and document.latest and _same(document.latest, upload, sha256):
            return document.latest
        if document is None:
            document = _new_document(client, upload)
        version = _new_version(document, upload, sha256)
        transaction.on_commit(lambda: queue.enqueue(client.pk, version.pk))
    return version


def find(client_id: uuid.UUID, document_id: str) -> DocumentVersion:
    """The newest version of a document, whose status is the document's; ApiError 404."""
    with client_scope(client_id):
        document = Document.objects.filter(external_id=document_id).select_related("latest__document").first()
        if document is None or document.latest is None:
            raise ApiError("NOT_FOUND", "There is no such document.")
        return document.latest


def owner_of(document_id: str) -> uuid.UUID:
    """The one client with a document of this id, for the internal caller that names none; ApiError 404 or 400."""
    with unscoped("the internal caller may name a document without its client"):
        owners = list(Document.objects.filter(external_id=document_id).values_list("client_id", flat=True)[:2])
    if not owners:
        raise ApiError("NOT_FOUND", "There is no such document.")
    if len(owners) > 1:
        raise ApiError("INVALID_REQUEST", "Several clients have a document with this id: name one with ?clientId=.")
    return owners[0]


def remove(client_id: uuid.UUID, document_id: str) -> None:
    """Erase a document: rows first, so that it stops answering at once, then its vectors and files. ApiError 404."""
    with client_scope(client_id):
        document = Document.objects.select_for_update().filter(external_id=document_id).first()
        if document is None:
            raise ApiError("NOT_FOUND", "There is no such document.")
        versions = list(document.versions.all())
        document.delete()
        Client.objects.filter(pk=client_id).update(knowledge_version=F("knowledge_version") + 1)
        transaction.on_commit(lambda: _erase_outside(client_id, versions))


def _erase_outside(client_id: uuid.UUID, versions: list[DocumentVersion]) -> None:
    store = VectorStore.for_client(client_id)
    for version in versions:
        store.delete_version(version.pk)
        version.file.delete(save=False)


def state(version: DocumentVersion) -> dict[str, Any]:
    """The contract's status body, also sent to Express."""
    with client_scope(version.client_id):
        points = [str(pk) for pk in Chunk.objects.filter(version=version).values_list("pk", flat=True)]
    return {
        "documentId": version.document.external_id,
        "status": version.status,
        "progress": version.progress,
        "currentStep": version.step,
        "chunksTotal": version.chunks_total,
        "chunksProcessed": version.chunks_processed,
        "qdrantPointIds": points if version.status == DocumentVersion.Status.COMPLETED else [],
        "errorMessage": version.error_message or None,
    }


def check(upload: Upload) -> None:
    """ApiError 400, 413 or 415 for a file that can't be taken in."""
    if not upload.data:
        raise ApiError("INVALID_REQUEST", "The file is empty.")
    if len(upload.data) > settings.MAX_DOCUMENT_BYTES:
        raise too_large()
    check_type(upload.data, upload.file_type, upload.original_name)


def too_large() -> ApiError:
    return ApiError("FILE_TOO_LARGE", f"The file is larger than {settings.MAX_DOCUMENT_BYTES / 1024 / 1024:g} MB.")


def _same(latest: DocumentVersion, upload: Upload, sha256: str) -> bool:
    return latest.sha256 == sha256 and latest.file_type == upload.file_type


def _new_document(client: Client, upload: Upload) -> Document:
    allowed = plan_of(client).documents
    if Document.objects.count() >= allowed:
        raise ApiError("QUOTA_EXCEEDED", f"The plan holds {allowed} documents. Delete one, or upgrade the plan.")
    return Document.objects.create(external_id=upload.document_id, title=upload.original_name, metadata=upload.metadata)


def _new_version(document: Document, upload: Upload, sha256: str) -> DocumentVersion:
    previous = document.latest
    if previous and previous.status not in DocumentVersion.FINAL:
        DocumentVersion.objects.filter(pk=previous.pk).update(
            status=DocumentVersion.Status.FAILED, error_message="A newer version was uploaded.", lease=None
        )
    version = DocumentVersion(
        client_id=document.client_id,
        document=document,
        number=previous.number + 1 if previous else 1,
        file_type=upload.file_type,
        original_name=upload.original_name,
        size=len(upload.data),
        sha256=sha256,
    )
    version.file.save("", ContentFile(upload.data), save=False)
    try:
        version.save()
        document.latest, document.title, document.metadata = version, upload.original_name, upload.metadata
        document.save()
    except BaseException:
        version.file.delete(save=False)
        raise
    return version
