"""parse -> chunk -> embed -> store -> switch.

May run twice and may die at any line: a run holds the version's lease and every write of it is conditional on
that lease, so a run that was overtaken (by a newer upload, a deletion, or a second delivery) stops at its next
write. Points have deterministic ids, so a repeated run overwrites its own.
"""

import uuid
from datetime import timedelta
from pathlib import Path

import structlog
from django.db.models import F, Q
from django.utils import timezone

from billing import ledger
from knowledge.chunking import Span, chunk
from knowledge.embeddings import EmbeddingError, get_embedder
from knowledge.models import Chunk, Document, DocumentVersion, chunk_id
from knowledge.parsers import Parsed, ParseError, parse
from knowledge.vectors import Point, VectorError, VectorStore
from tenants.models import Client
from tenants.scoping import client_scope

log = structlog.get_logger(__name__)
Status = DocumentVersion.Status

MAX_ATTEMPTS = 3
LEASE_SECONDS = 60  # without a heartbeat for so long, a run is taken for dead
BATCH = 64  # chunks embedded and stored at once: bounds memory, and is the step of progress


class Overtaken(Exception):
    """This run no longer holds the version's lease."""


def ingest(client_id: uuid.UUID, version_id: int) -> None:
    """Ingest one version of a document to `completed` or `failed`. Does nothing when another run holds it."""
    run = _claim(client_id, version_id)
    if run is None:
        return
    try:
        run.ingest()
    except Overtaken:
        run.withdraw()
    except ParseError as error:
        run.fail(str(error))
    except (EmbeddingError, VectorError) as error:
        log.warning("ingestion failed", client=str(client_id), version=version_id, reason=str(error))
        run.retry_or_fail()
    except Exception:
        log.exception("ingestion failed", client=str(client_id), version=version_id)
        run.fail("The document could not be processed because of a fault on our side. We have been told about it.")


def _claim(client_id: uuid.UUID, version_id: int) -> "Run | None":
    """Take the lease and count the attempt, before anything is parsed; None when there is nothing to do."""
    now = timezone.now()
    lease = uuid.uuid4()
    with client_scope(client_id):
        free = Q(lease=None) | Q(heartbeat__lt=now - timedelta(seconds=LEASE_SECONDS))
        claimed = (
            DocumentVersion.objects.filter(free, pk=version_id)
            .exclude(status__in=DocumentVersion.FINAL)
            .update(lease=lease, heartbeat=now, attempts=F("attempts") + 1)
        )
        if not claimed:
            return None
        version = DocumentVersion.objects.select_related("document").get(pk=version_id)
    run = Run(version, lease)
    if version.attempts > MAX_ATTEMPTS:
        run.fail("The document could not be processed: every attempt was cut short. It may be too demanding.")
        return None
    return run


class Run:
    """One attempt at one version."""

    def __init__(self, version: DocumentVersion, lease: uuid.UUID):
        self.version = version
        self.lease = lease
        self.store = VectorStore.for_client(version.client_id)

    def ingest(self) -> None:
        self._update(status=Status.PARSING, chunks_processed=0)
        parsed = parse(Path(self.version.file.path), self.version.file_type)
        self._update(status=Status.CHUNKING, pages=parsed.pages)
        spans = chunk(parsed)
        if not spans:
            raise ParseError("The document holds no text.")
        chunks = self._store_chunks(parsed, spans)
        tokens = self._embed(chunks)
        replaced = self._switch(tokens)
        if replaced:
            self._discard(replaced)

    def fail(self, message: str) -> None:
        """End as `failed` with a sentence for a person; what answers now goes on answering."""
        try:
            self._update(status=Status.FAILED, error_message=message, finished=timezone.now(), lease=None)
        except Overtaken:
            return
        self.store.delete_version(self.version.pk)

    def withdraw(self) -> None:
        """After being overtaken: points of a deleted or superseded version go; another run's stay."""
        with client_scope(self.version.client_id):
            statuses = DocumentVersion.objects.filter(pk=self.version.pk).values_list("status", flat=True)
            wanted = any(status != Status.FAILED for status in statuses)
        if not wanted:
            self.store.delete_version(self.version.pk)

    def retry_or_fail(self) -> None:
        """A service was away: give the lease back for the next attempt, or end after MAX_ATTEMPTS."""
        if self.version.attempts >= MAX_ATTEMPTS:
            self.fail("A service that we need was not available. Please upload the document again later.")
            return
        try:
            self._update(status=Status.PENDING, lease=None)
        except Overtaken:
            return
        from knowledge import queue

        queue.enqueue(self.version.client_id, self.version.pk)

    def _update(self, **values: object) -> None:
        """Write to the version's row while the lease holds; every write is a heartbeat. Overtaken otherwise."""
        with client_scope(self.version.client_id):
            mine = DocumentVersion.objects.filter(pk=self.version.pk, lease=self.lease)
            if not mine.update(heartbeat=timezone.now(), **values):
                raise Overtaken

    def _store_chunks(self, parsed: Parsed, spans: list[Span]) -> list[Chunk]:
        """The text and its chunks become rows, from which vectors can be rebuilt."""
        version = self.version
        chunks = [
            Chunk(
                id=chunk_id(version.client_id, version.pk, span.index),
                client_id=version.client_id,
                version=version,
                index=span.index,
                text=span.text,
                start=span.start,
                end=span.end,
                tokens=span.tokens,
                page_from=span.page_from,
                page_to=span.page_to,
                heading_path=list(span.heading_path),
            )
            for span in spans
        ]
        with client_scope(version.client_id):
            self._update(status=Status.EMBEDDING, text=parsed.text, chunks_total=len(chunks))
            Chunk.objects.filter(version=version).delete()
            Chunk.objects.bulk_create(chunks, batch_size=500)
        return chunks

    def _embed(self, chunks: list[Chunk]) -> int:
        """Embed and store batch by batch; returns the tokens that the provider billed."""
        tokens = 0
        for first in range(0, len(chunks), BATCH):
            batch = chunks[first : first + BATCH]
            tokens += store_chunks(self.store, batch)
            self._update(chunks_processed=first + len(batch))
        self._update(status=Status.STORING)
        return tokens

    def _switch(self, tokens: int) -> DocumentVersion | None:
        """In one transaction this version answers instead of the one before, which is returned."""
        version = self.version
        with client_scope(version.client_id):
            self._update(status=Status.COMPLETED, error_message="", finished=timezone.now(), lease=None)
            document = Document.objects.select_for_update().select_related("live").get(pk=version.document_id)
            replaced, document.live = document.live, version
            document.save(update_fields=["live", "updated"])
            Client.objects.filter(pk=version.client_id).update(knowledge_version=F("knowledge_version") + 1)
            if replaced:
                Chunk.objects.filter(version=replaced).delete()
            if tokens:
                ledger.record(request_id=f"ingest-{version.pk}", kind="embedding", usage=self._usage(tokens))
        return replaced

    def _usage(self, tokens: int) -> ledger.Tokens:
        return ledger.Tokens(self.store.model.partition("@")[0], prompt_tokens=tokens)

    def _discard(self, replaced: DocumentVersion) -> None:
        """The old version's vectors and file go; a death in between leaves what no question can find."""
        self.store.delete_version(replaced.pk)
        replaced.file.delete(save=False)


def store_chunks(store: VectorStore, chunks: list[Chunk]) -> int:
    """Embed chunks and write their points; returns the tokens that the provider billed."""
    vectors, tokens = get_embedder(store.model).embed_passages([c.text for c in chunks])
    store.upsert([Point(c.id, c.version_id, c.text, v) for c, v in zip(chunks, vectors, strict=True)])
    return tokens
