"""Ingestion in tests: uploads, work done in this process, and what a client then has."""

import uuid

from knowledge.documents import Upload, submit
from knowledge.models import Chunk, Document, DocumentVersion
from knowledge.pipeline.ingest import ingest_next
from knowledge.vectors import VectorStore
from tenants.models import Client
from tenants.scoping import client_scope


def upload(client: Client, text: str = "Boots can be returned within 60 days.", name: str = "doc") -> DocumentVersion:
    return submit(client, Upload(name, text.encode(), "txt", f"{name}.txt"))


def work() -> int:
    """Ingest all that waits; how many attempts that took."""
    attempts = 0
    while ingest_next():
        attempts += 1
    return attempts


def version(client: Client, pk: int) -> DocumentVersion:
    with client_scope(client.pk):
        return DocumentVersion.objects.select_related("document").get(pk=pk)


def texts(client: Client) -> dict[str, list[str]]:
    """document id -> the texts of the chunks that answer."""
    with client_scope(client.pk):
        return {
            document.external_id: list(
                Chunk.objects.filter(version_id=document.live_id).order_by("index").values_list("text", flat=True)
            )
            for document in Document.objects.exclude(live=None)
        }


def assert_consistent(client: Client) -> None:
    """Every chunk that answers has its one point, and there is no other chunk or point."""
    with client_scope(client.pk):
        live = set(Document.objects.exclude(live=None).values_list("live_id", flat=True))
        chunks = dict(Chunk.objects.values_list("pk", "version_id"))
    assert set(chunks.values()) <= live
    assert VectorStore.for_client(client.pk).ids() == set(chunks)


def points(client: Client) -> set[uuid.UUID]:
    return VectorStore.for_client(client.pk).ids()
