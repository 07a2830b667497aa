"""Documents, passages, vectors and files agree; nothing that is under way was left lying."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from django.conf import settings
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from knowledge.models import Callback, Chunk, Document, DocumentVersion, Remains, chunk_id
from knowledge.pipeline.compare import FILE_AGE, compare
from tenants.invariants import Found, OutsideCheck, OverallCheck, RowCheck, Violation
from tenants.models import Client
from tenants.scoping import client_scope

Status = DocumentVersion.Status
OVERDUE = timedelta(minutes=10)  # for what is tried again every few seconds


def _live_versions() -> Found:
    """A document answers with exactly one version, which is complete; its newest, once that is complete."""
    documents = Document.objects.order_by("pk")
    wrong = documents.exclude(live=None).exclude(live__status=Status.COMPLETED)
    wrong |= documents.exclude(live=None).exclude(live__document_id=F("pk"))
    for name in wrong.values_list("external_id", flat=True):
        yield "live-version-not-completed", name
    silent = documents.filter(latest__status=Status.COMPLETED).exclude(live_id=F("latest_id"))
    silent |= documents.filter(latest__status=Status.COMPLETED, live=None)
    for name in silent.values_list("external_id", flat=True):
        yield "completed-document-not-live", name


def _chunks() -> Found:
    """The chunks of a version that answers are its text, cut: numbered in order, nothing but white space left out."""
    live = DocumentVersion.objects.filter(document__live_id=F("pk")).order_by("pk")
    for version in live.iterator(chunk_size=1):
        yield from ((code, version.pk) for code in _wrong_with(version))


def _wrong_with(version: DocumentVersion) -> Iterator[str]:
    chunks = list(Chunk.objects.filter(version=version).order_by("index"))
    if [chunk.index for chunk in chunks] != list(range(version.chunks_total)):
        yield "chunks-not-contiguous"
    if any(version.text[chunk.start : chunk.end] != chunk.text for chunk in chunks):
        yield "chunk-differs-from-text"
    if any(chunk.pk != chunk_id(version.client_id, version.pk, chunk.index) for chunk in chunks):
        yield "chunk-id-differs"
    edges = [0, *(edge for chunk in chunks for edge in (chunk.start, chunk.end)), len(version.text)]
    if any(version.text[end:start].strip() for end, start in list(pairwise(edges))[::2] if start > end):
        yield "text-left-out-of-chunks"


def _dead_chunks() -> Found:
    """What neither answers nor is under way has no chunks."""
    alive = DocumentVersion.objects.filter(pk=OuterRef("version_id"), document__live_id=F("pk"))
    dead = Chunk.objects.filter(version__status__in=DocumentVersion.FINAL).filter(~Exists(alive))
    for pk in dead.order_by().values_list("version_id", flat=True).distinct():
        yield "chunks-of-no-live-version", pk


def _leases() -> Found:
    """A version whose run has died is taken over; what is final is held by nobody."""
    dead = timezone.now() - 2 * timedelta(seconds=settings.INGEST_LEASE_SECONDS)  # once to be found out, once to act
    held = DocumentVersion.objects.exclude(lease=None).order_by("pk")
    for pk in held.filter(status__in=DocumentVersion.UNFINISHED, heartbeat__lt=dead).values_list("pk", flat=True):
        yield "lease-expired", pk
    for pk in held.filter(status__in=DocumentVersion.FINAL).values_list("pk", flat=True):
        yield "lease-on-finished-version", pk


def _callbacks() -> Found:
    """Callbacks leave in order and in time (those that were given up are support's business)."""
    pending = Callback.objects.exclude(next_attempt=None).order_by("pk")
    earlier = pending.order_by().filter(
        document=OuterRef("document"), pk__lt=OuterRef("pk"), created__lte=OuterRef("created")
    )
    for pk in pending.filter(Exists(earlier), attempts__gt=0).values_list("pk", flat=True):
        yield "callback-out-of-order", pk
    late = pending.filter(~Exists(earlier), next_attempt__lt=timezone.now() - OVERDUE)
    for pk in late.values_list("pk", flat=True):
        yield "callback-overdue", pk


def _remains() -> Found:
    """What is left of removed versions is erased when it is due."""
    for pk in Remains.objects.filter(due__lt=timezone.now() - OVERDUE).order_by("pk").values_list("pk", flat=True):
        yield "remains-overdue", pk


def _index(client_id: uuid.UUID) -> Found:
    """Passages, points and files agree (as `manage.py check_index` compares them)."""
    found = compare(client_id)
    yield from (("point-missing", point) for point in sorted(found.missing))
    yield from (("point-of-no-passage", point) for point in sorted(found.surplus))
    yield from (("file-of-no-document", Path(name).name) for name in found.stray_files)


def _files(client_id: uuid.UUID) -> Found:
    """Stored files are there, with the digest that their row knows."""
    with client_scope(client_id):
        versions = list(DocumentVersion.objects.exclude(file="").order_by("pk").values_list("pk", "file", "sha256"))
    for pk, name, sha256 in versions:
        try:
            with (Path(settings.MEDIA_ROOT) / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    yield "file-differs", pk
        except FileNotFoundError:
            yield "file-missing", pk


def _directories() -> Iterator[Violation]:
    """No file lies where no client's files are."""
    known = {str(pk) for pk in Client.objects.values_list("pk", flat=True)}
    young = (timezone.now() - FILE_AGE).timestamp()
    root = Path(settings.MEDIA_ROOT)
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.name not in known and path.stat().st_mtime < young and (path.is_file() or any(path.iterdir())):
            yield Violation("file-of-no-client", "", path.name)


ROWS: list[RowCheck] = [_live_versions, _chunks, _dead_chunks, _leases, _callbacks, _remains]
OUTSIDE: list[OutsideCheck] = [_index, _files]
OVERALL: list[OverallCheck] = [_directories]
