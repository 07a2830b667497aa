"""Do the rows, the points and the stored files of a client agree? Rows are the truth."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.core.files.storage import default_storage
from django.db.models import F
from django.utils import timezone

from knowledge.models import Chunk, DocumentVersion, Remains
from knowledge.pipeline.ingest import store_chunks
from knowledge.vectors import VectorStore
from tenants.scoping import client_scope

BATCH = 256  # chunks or points
FILE_AGE = timedelta(hours=1)  # a younger file may belong to an upload whose transaction is still open


@dataclass(frozen=True)
class Comparison:
    """`rows`: chunks that answer; `points`: all in the live index. The rest is what should not be."""

    client_id: uuid.UUID
    rows: int
    points: int
    missing: frozenset[uuid.UUID]  # chunks that answer but can't be found
    surplus: frozenset[uuid.UUID]  # points of no chunk
    stray_files: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not (self.missing or self.surplus or self.stray_files)


def compare(client_id: uuid.UUID) -> Comparison:
    """Compare while ingestions go on: rows are read before and after the points, and must say the same twice."""
    live_before, all_before = _chunks(client_id)
    points = VectorStore.for_client(client_id).ids()
    live_after, all_after = _chunks(client_id)
    unfinished = all_after - live_after  # of versions that are under way
    return Comparison(
        client_id,
        rows=len(live_after),
        points=len(points - unfinished),
        missing=frozenset((live_before & live_after) - points),
        surplus=frozenset(points - all_before - all_after),
        stray_files=tuple(_stray_files(client_id)),
    )


def repair(found: Comparison) -> None:
    """Embed what is missing, remove what is surplus."""
    store = VectorStore.for_client(found.client_id)
    run = uuid.uuid4()
    missing = sorted(found.missing)
    for first in range(0, len(missing), BATCH):
        with client_scope(found.client_id):
            chunks = list(Chunk.objects.filter(pk__in=missing[first : first + BATCH]))
        if chunks:
            store_chunks(store, chunks, f"repair-{run}-{first}")
    store.delete(found.surplus)
    for name in found.stray_files:
        default_storage.delete(name)


def _chunks(client_id: uuid.UUID) -> tuple[set[uuid.UUID], set[uuid.UUID]]:
    """The ids of the chunks that answer, and of all."""
    with client_scope(client_id):
        live = Chunk.objects.filter(version__document__live_id=F("version_id")).values_list("pk", flat=True)
        return set(live), set(Chunk.objects.values_list("pk", flat=True))


def _stray_files(client_id: uuid.UUID) -> list[str]:
    try:
        _, names = default_storage.listdir(str(client_id))
    except FileNotFoundError:
        return []
    with client_scope(client_id):
        known = set(DocumentVersion.objects.values_list("file", flat=True))
        known |= set(Remains.objects.values_list("file_name", flat=True))
    strays = sorted({f"{client_id}/{name}" for name in names} - known)
    return [name for name in strays if timezone.now() - default_storage.get_modified_time(name) > FILE_AGE]
