"""The verbs on a client's documents: submit, look up, remove."""

import contextlib
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.core.files.base import ContentFile
from django.db.models import F

from billing.plans import plan_of
from knowledge import callbacks, queue, status
from knowledge.models import Chunk, Document, DocumentVersion, stored_name
from knowledge.parsers import check_type
from knowledge.pipeline import remains
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
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
    """Store an upload and queue its ingestion. Content that is there or on its way returns the existing version.

    ApiError 413, 415 or 402 (the plan's document count). File, rows and job are stored in one transaction; a
    lock on the client's row makes simultaneous uploads take turns.
    """
    check(upload)
    sha256 = hashlib.sha256(upload.data).hexdigest()
    with client_scope(client.pk):
        client = _locked(client.pk)
        document = _documents(upload.document_id).first()
        if document and document.latest and _same(document.latest, upload, sha256):
            return document.latest
        if document is None:
            document = _new_document(client, upload)
        elif document.latest:
            _supersede(document.latest, live=document.latest_id == document.live_id)
        version = _new_version(document, upload, sha256)
        callbacks.note(version)
        queue.enqueue()
    return version


def find(client_id: uuid.UUID, document_id: str) -> DocumentVersion:
    """The newest version of a document, whose status is the document's; ApiError 404."""
    with client_scope(client_id):
        document = _documents(document_id).first()
        if document is None or document.latest is None:
            raise _missing()
        return document.latest


def row_of(client_id: uuid.UUID, document_id: str) -> int | None:
    """The key of a document's row, which the desk's addresses have; None when there is no such document."""
    with client_scope(client_id):
        return _documents(document_id).values_list("pk", flat=True).first()


def contents(client_id: uuid.UUID) -> list[tuple[str, str, str]]:
    """Id, title and text of every document that answers questions now."""
    with client_scope(client_id):
        rows = Document.objects.filter(live__isnull=False).order_by("external_id")
        return list(rows.values_list("external_id", "title", "live__text"))


def state(version: DocumentVersion) -> dict[str, Any]:
    """The contract's status body."""
    with client_scope(version.client_id):
        return status.body(version)


def owner_of(document_id: str) -> uuid.UUID:
    """The one client with a document of this id, for the internal caller that names none; ApiError 404 or 400."""
    with unscoped("the internal caller may name a document without its client"):
        owners = list(_documents(document_id).values_list("client_id", flat=True)[:2])
    if not owners:
        raise _missing()
    if len(owners) > 1:
        raise ApiError("INVALID_REQUEST", "Several clients have a document with this id: name one with ?clientId=.")
    return owners[0]


def remove(client_id: uuid.UUID, document_id: str) -> None:
    """Erase a document: rows first, so that it stops answering at once, then its vectors and files. ApiError 404.

    Rows are locked in the order client, version, document: a run that is under way holds its version's.
    """
    with client_scope(client_id):
        _locked(client_id)
        document = _documents(document_id).first()
        if document is None:
            raise _missing()
        document.versions.update(lease=None, status=DocumentVersion.Status.FAILED)
        for version in document.versions.defer("text"):
            remains.leave(version)
        document.delete()
        Client.objects.filter(pk=client_id).update(knowledge_version=F("knowledge_version") + 1)


def check(upload: Upload) -> None:
    """ApiError 400, 413 or 415 for a file that can't be taken in."""
    if not upload.data:
        raise ApiError("INVALID_REQUEST", "The file is empty.")
    if len(upload.data) > settings.MAX_DOCUMENT_BYTES:
        raise too_large()
    check_type(upload.data, upload.file_type, upload.original_name)


def too_large() -> ApiError:
    return ApiError("FILE_TOO_LARGE", f"The file is larger than {settings.MAX_DOCUMENT_BYTES / 1024 / 1024:g} MB.")


def _documents(document_id: str) -> Any:
    """The documents of this id in scope, with their newest version; the texts stay in the database."""
    if "\0" in document_id:  # no document has it, and PostgreSQL would not even look
        return Document.objects.none()
    return Document.objects.filter(external_id=document_id).select_related("latest__document").defer("latest__text")


def _locked(client_id: uuid.UUID) -> Client:
    """The client's row, locked against other uploads and deletions; chat may go on referring to it."""
    return Client.objects.select_for_update(no_key=True).get(pk=client_id)


def _missing() -> ApiError:
    return ApiError("NOT_FOUND", "There is no such document.")


def _same(latest: DocumentVersion, upload: Upload, sha256: str) -> bool:
    """Is this content there or on its way? (What failed is tried anew.)"""
    failed = latest.status == DocumentVersion.Status.FAILED
    return not failed and latest.sha256 == sha256 and latest.file_type == upload.file_type


def _new_document(client: Client, upload: Upload) -> Document:
    allowed = plan_of(client).documents
    if Document.objects.count() >= allowed:
        raise ApiError("QUOTA_EXCEEDED", f"The plan holds {allowed} documents. Delete one, or upgrade the plan.")
    return Document.objects.create(external_id=upload.document_id, title=upload.original_name, metadata=upload.metadata)


def _supersede(previous: DocumentVersion, *, live: bool) -> None:
    """End a version that a newer one replaces, unless it answers: then it does so until the newer one can."""
    if live:
        return
    DocumentVersion.objects.filter(pk=previous.pk).update(
        status=DocumentVersion.Status.FAILED,
        error_message=previous.error_message or "A newer version was uploaded.",
        lease=None,
        text="",
        file="",
    )
    Chunk.objects.filter(version_id=previous.pk).delete()
    remains.leave(previous)


def _new_version(document: Document, upload: Upload, sha256: str) -> DocumentVersion:
    version = DocumentVersion(
        client_id=document.client_id,
        document=document,
        number=document.latest.number + 1 if document.latest else 1,
        file_type=upload.file_type,
        original_name=upload.original_name,
        size=len(upload.data),
        sha256=sha256,
    )
    _store(version, upload.data)
    try:
        version.save()
        document.latest, document.title, document.metadata = version, upload.original_name, upload.metadata
        document.save()
    except BaseException:
        version.file.storage.delete(version.file.name or "")
        raise
    return version


def _store(version: DocumentVersion, data: bytes) -> None:
    """Write the file; ApiError SERVICE_UNAVAILABLE, and no half of it stays, when the disk does not take it."""
    storage, name = version.file.storage, stored_name(version, "")
    try:
        version.file.name = storage.save(name, ContentFile(data))
    except OSError as error:
        log.error("an upload could not be stored", client_id=str(version.client_id), error=error.strerror)
        with contextlib.suppress(OSError):
            storage.delete(name)
        raise ApiError("SERVICE_UNAVAILABLE", "The file can't be stored right now. Please try again later.") from error
