"""Vectors rebuilt from the rows: nothing is parsed again. Also into the index of another embedding model."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db.models import F, QuerySet

from knowledge.embeddings.base import ignore_progress
from knowledge.models import Chunk, Document
from knowledge.pipeline.compare import compare, repair
from knowledge.pipeline.ingest import store_chunks
from knowledge.vectors import VectorStore
from tenants.models import Client
from tenants.scoping import client_scope, unscoped

BATCH = 256  # chunks
NOBODY = uuid.UUID(int=0)
SETTLE_SECONDS = 6.0  # after a switch other processes go on for up to 5 s with the index they knew


@dataclass(frozen=True)
class Live:
    """A version that answers."""

    client_id: uuid.UUID
    version_id: int
    chunks: int


def live_model() -> str:
    """The key of the model whose index answers questions now."""
    return VectorStore.for_client(NOBODY).model


def live_versions(client_id: str | None = None, document_id: str | None = None) -> list[Live]:
    """Every version that answers, or those of a client or a document."""
    with unscoped("reindex serves one client after the other"):
        documents = Document.objects.exclude(live=None)
        if client_id:
            documents = documents.filter(client_id=client_id)
        if document_id:
            documents = documents.filter(external_id=document_id)
        rows = documents.order_by("client_id", "pk").values_list("client_id", "live_id", "live__chunks_total")
        return [Live(*row) for row in rows]


def rebuild(version: Live, model: str | None = None, progress: Callable[[int], object] = ignore_progress) -> int:
    """Embed and store a version's chunks anew, by default in the live index; returns how many.

    Points have the chunks' ids, so old ones are overwritten. `progress` is told how many more are done. A
    version that was replaced meanwhile is left alone: its rows are gone.
    """
    store = VectorStore.for_client(version.client_id, model)
    run = uuid.uuid4()
    done = 0
    for batch in _batches(version):
        store_chunks(store, batch, f"reindex-{run}-{done}")
        done += len(batch)
        progress(len(batch))
    return done


def move(model: str, progress: Callable[[int], object] = ignore_progress) -> int:
    """Fill the index of another model beside the live one, then let it answer; returns the chunks embedded.

    Questions are answered from the old index until the switch. Stopped half-way, it goes on where it was: what
    is complete in the new index is not embedded again. After the switch it takes over what other processes
    still put into the old index, empties that, and removes what was deleted meanwhile.
    """
    old = live_model()
    done = _fill(model, progress)
    VectorStore.for_client(NOBODY, model).set_live_model(model)
    time.sleep(SETTLE_SECONDS)
    done += _fill(model, progress)
    for client_id in Client.objects.values_list("pk", flat=True):
        VectorStore.for_client(client_id, old).delete_all()
        repair(compare(client_id))
    return done


def incomplete(model: str) -> list[Live]:
    """The versions that answer but are not wholly in the index of `model`."""
    return [version for version in live_versions() if not _complete(version, model)]


def _fill(model: str, progress: Callable[[int], object]) -> int:
    done = 0
    while todo := incomplete(model):
        done += sum(rebuild(version, model, progress) for version in todo)
    return done


def _complete(version: Live, model: str) -> bool:
    with client_scope(version.client_id):
        rows = set(_chunks(version).values_list("pk", flat=True))
    return rows <= VectorStore.for_client(version.client_id, model).ids(version.version_id)


def _chunks(version: Live) -> QuerySet[Chunk]:
    """The version's chunks while it answers."""
    return Chunk.objects.filter(version_id=version.version_id, version__document__live_id=F("version_id"))


def _batches(version: Live) -> Iterator[list[Chunk]]:
    """A version's chunks, in order, each batch in a scope of its own."""
    after = -1
    while True:
        with client_scope(version.client_id):
            batch = list(_chunks(version).filter(index__gt=after).order_by("index")[:BATCH])
        if not batch:
            return
        yield batch
        after = batch[-1].index
