"""Vectors rebuilt from the rows: nothing is parsed again."""

import uuid
from collections.abc import Callable, Iterator

from django.db.models import F

from knowledge.models import Chunk, Document
from knowledge.pipeline.ingest import BATCH, store_chunks
from knowledge.vectors import VectorStore
from tenants.scoping import client_scope, unscoped


def live_versions(client_id: str | None = None, document_id: str | None = None) -> list[tuple[uuid.UUID, int, int]]:
    """(client, version, chunks) of every document that answers, or of those asked for."""
    with unscoped("reindex serves one client after the other"):
        documents = Document.objects.exclude(live=None)
        if client_id:
            documents = documents.filter(client_id=client_id)
        if document_id:
            documents = documents.filter(external_id=document_id)
        return list(documents.order_by("client_id", "pk").values_list("client_id", "live_id", "live__chunks_total"))


def reindex(client_id: uuid.UUID, version_id: int, progress: Callable[[int], object] = lambda done: None) -> int:
    """Embed and store a version's chunks anew; points have the chunks' ids, so old ones are overwritten.

    Returns the number of chunks; `progress` is told how many more are done. A version that was replaced
    meanwhile is left alone: its rows are gone.
    """
    store = VectorStore.for_client(client_id)
    done = 0
    for batch in _batches(client_id, version_id):
        store_chunks(store, batch)
        done += len(batch)
        progress(len(batch))
    return done


def _batches(client_id: uuid.UUID, version_id: int) -> Iterator[list[Chunk]]:
    """A version's chunks, in order, each batch in a scope of its own."""
    after = -1
    while True:
        with client_scope(client_id):
            live = Chunk.objects.filter(version_id=version_id, version__document__live_id=F("version_id"))
            batch = list(live.filter(index__gt=after).order_by("index")[:BATCH])
        if not batch:
            return
        yield batch
        after = batch[-1].index
