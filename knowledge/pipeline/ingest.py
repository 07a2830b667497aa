"""parse -> chunk -> embed -> store -> switch.

May run twice and may die at any line: every write is conditional on the version's lease (lease.py), and points
have deterministic ids, so a repeated run overwrites its own.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from billing import ledger
from knowledge import metrics
from knowledge.chunking import Span, chunk
from knowledge.embeddings import EmbeddingError, get_embedder
from knowledge.embeddings.base import ignore_progress
from knowledge.embeddings.models import model_of
from knowledge.models import Chunk, Document, DocumentVersion, chunk_id
from knowledge.parsers import Parsed, ParseError, parse
from knowledge.pipeline import remains
from knowledge.pipeline.lease import Lease, Overtaken, claim_next
from knowledge.vectors import Point, VectorError, VectorStore
from tenants import statements, tracing
from tenants.errors import cause_of
from tenants.models import Client
from tenants.scoping import client_scope

log = structlog.get_logger(__name__)
Status = DocumentVersion.Status

MAX_ATTEMPTS = 3
ROWS = 500  # written at once; 1 MB
BATCH = 1024  # chunks handed to the embedder at once, which sends several requests of them together; 6 MB of vectors

TOO_DEMANDING = "The document could not be processed: every attempt was cut short. It may be too demanding."
OUR_FAULT = "The document could not be processed because of a fault on our side. Please upload it again later."
SERVICE_AWAY = "A service that we need was not available. Please upload the document again later."
REFUSED = "The embedding service did not accept the text of this document."


class Stored(NamedTuple):
    """A chunk's row, as far as the index needs it."""

    id: uuid.UUID
    version_id: int
    text: str


def ingest_next() -> bool:
    """Bring the version whose turn it is to `completed` or `failed`, or to its next attempt; False: none waits."""
    lease = claim_next()
    if lease is None:
        return False
    Run(lease).attempt()
    return True


class Run:
    """One attempt at one version."""

    def __init__(self, lease: Lease):
        self.lease = lease
        self.version = lease.version

    @cached_property
    def store(self) -> VectorStore:
        """The index that answers when the run begins."""
        return VectorStore.for_client(self.version.client_id)

    def attempt(self) -> None:
        """Ingest, and leave the row in a state from which things go on, however it ends."""
        version = self.version
        names = {"trace_id": self.lease.id, "client_id": str(version.client_id), "version": version.pk}
        with (
            structlog.contextvars.bound_contextvars(**names, caller="worker"),
            tracing.span("ingest", attempt=version.attempts),
        ):
            self._attempt()

    def _attempt(self) -> None:
        try:
            self._ingest_or_fail()
        except Overtaken:
            self._withdraw()
        except (DatabaseError, InterfaceError) as error:
            self._log(error)
            connection.close()  # the lease runs out, and the next attempt gets a fresh connection
        except (EmbeddingError, VectorError) as error:
            self._log(error)
            if getattr(error, "transient", True):
                self._again_or_fail(SERVICE_AWAY)
            else:
                self._fail(REFUSED)
        except Exception:
            log.exception("ingestion failed")
            self._again_or_fail(OUR_FAULT)

    def _ingest_or_fail(self) -> None:
        if self.version.attempts > MAX_ATTEMPTS:
            return self._fail(TOO_DEMANDING)
        try:
            with self.lease.beating():
                chunks = self._read()
                self._index(chunks)
        except ParseError as error:
            return self._fail(str(error))
        return self._switch()

    def _read(self) -> list[Stored]:
        """parse, chunk: the text and its chunks become rows, from which vectors can be rebuilt."""
        self.lease.enter(Status.PARSING)
        self.version.file.open().close()  # one that is not here, as without a shared volume, is not "damaged"
        with metrics.timed(metrics.STAGE, "parse"):
            parsed = parse(Path(self.version.file.path), self.version.file_type)
        self.lease.enter(Status.CHUNKING)
        with metrics.timed(metrics.STAGE, "chunk"):
            spans = chunk(parsed)
            _check_size(spans)
            return self._store_chunks(parsed, spans)

    def _store_chunks(self, parsed: Parsed, spans: list[Span]) -> list[Stored]:
        rows = [_row(self.version, span) for span in spans]
        with client_scope(self.version.client_id, in_haste=True):
            self.lease.write_in_scope(
                status=Status.EMBEDDING, text=parsed.text, pages=parsed.pages, chunks_total=len(rows)
            )
            self.version.text = ""  # a large one need not stay in memory
            if self.version.attempts > 1:
                Chunk.objects.filter(version=self.version).delete()
            for first in range(0, len(rows), ROWS):
                statements.insert_many(Chunk, rows[first : first + ROWS])
        return [Stored(row["id"], self.version.pk, row["text"]) for row in rows]

    def _index(self, chunks: list[Stored]) -> None:
        """embed, store; again from the start where a reindex has switched to another model meanwhile."""
        while True:
            for first in range(0, len(chunks), BATCH):
                self._index_batch(chunks, first)
            self.lease.enter(Status.STORING)
            live = VectorStore.for_client(self.version.client_id)
            if live.model == self.store.model:
                return self._confirm(chunks)
            self.store.delete_version(self.version.pk)
            self.store, self.lease.done = live, 0

    def _confirm(self, chunks: list[Stored]) -> None:
        """VectorError unless every point is there: a store that is restarted may lose what it has acknowledged."""
        if lost := {chunk.id for chunk in chunks} - self.store.ids(self.version.pk):
            raise VectorError(f"{len(lost)} of {len(chunks)} points that were stored are not there")

    def _index_batch(self, chunks: list[Stored], first: int) -> None:
        def progress(done: int) -> None:
            self.lease.done = first + done

        batch = chunks[first : first + BATCH]
        request_id = f"embed-{self.version.pk}-{self.version.attempts}-{first}-{self.store.model}"
        store_chunks(self.store, batch, request_id, progress)
        progress(len(batch))

    def _switch(self) -> None:
        """In one transaction this version answers instead of the one before, whose remains then go.

        Rows are locked in the order client, version, document, here as in knowledge/documents.py.
        """
        version = self.version
        with client_scope(version.client_id, in_haste=True):
            statements.update_unseen(Client, {"knowledge_version": statements.ONE_MORE})
            self.lease.write_in_scope(status=Status.COMPLETED, error_message="", finished=timezone.now(), lease=None)
            replaced = statements.look_up(Document, "live", id=version.document_id)
            statements.update_unseen(Document, {"live": version, "updated": timezone.now()}, id=version.document_id)
            # Nobody else has switched since the claim: no older version can once this one was uploaded.
            if replaced:
                remains.leave(DocumentVersion.objects.defer("text").get(pk=replaced))
                Chunk.objects.filter(version=replaced).delete()
                DocumentVersion.objects.filter(pk=replaced).update(text="", file="")
        self._count("completed")

    def _fail(self, message: str) -> None:
        """End as `failed` with a sentence for a person; what answers now goes on answering."""
        try:
            with client_scope(self.version.client_id):
                ending = {"status": Status.FAILED, "error_message": message, "finished": timezone.now()}
                self.lease.write_in_scope(**ending, lease=None)
                Chunk.objects.filter(version=self.version).delete()
                remains.leave(self.version, with_file=False)
        except Overtaken:
            return self._withdraw()
        return self._count("failed")

    def _again_or_fail(self, message: str) -> None:
        """Give the lease back for the next attempt, or end after MAX_ATTEMPTS."""
        attempts = self.version.attempts
        if attempts >= MAX_ATTEMPTS:
            return self._fail(message)
        later = timezone.now() + timedelta(seconds=settings.INGEST_RETRY_SECONDS * 6 ** (attempts - 1))
        try:
            self.lease.write(status=Status.PENDING, lease=None, not_before=later)
        except Overtaken:
            return self._withdraw()
        return self._count("postponed")

    def _withdraw(self) -> None:
        """After being overtaken: points of a deleted or superseded version go; another run's stay."""
        self._count("overtaken")
        with client_scope(self.version.client_id):
            statuses = DocumentVersion.objects.filter(pk=self.version.pk).values_list("status", flat=True)
            wanted = any(status != Status.FAILED for status in statuses)
        if not wanted:
            try:
                self.store.delete_version(self.version.pk)
            except VectorError as error:  # whoever removed the rows has left a note (remains.py)
                self._log(error)

    def _count(self, end: str) -> None:
        metrics.ATTEMPTS.labels(self.version.file_type, end).inc()

    def _log(self, error: Exception) -> None:
        log.warning("an attempt failed", attempt=self.version.attempts, error=cause_of(error))


def store_chunks(
    store: VectorStore,
    chunks: Sequence[Stored | Chunk],
    request_id: str,
    progress: Callable[[int], None] = ignore_progress,
) -> None:
    """Embed chunks, enter what a provider billed in the books, and write their points."""
    with metrics.timed(metrics.STAGE, "embed"):
        vectors, tokens = get_embedder(store.model, store.client_id).embed_passages([c.text for c in chunks], progress)
    if tokens:
        metrics.EMBEDDING_TOKENS.inc(tokens)
        with client_scope(store.client_id, in_haste=True):
            model = model_of(store.model)
            usage = ledger.Tokens(model.name, prompt_tokens=tokens)
            ledger.record(request_id=request_id, kind="embedding", usage=usage, prices={"input": model.price})
    with metrics.timed(metrics.STAGE, "store"):
        store.upsert([Point(c.id, c.version_id, c.text, v) for c, v in zip(chunks, vectors, strict=True)])


def _check_size(spans: list[Span]) -> None:
    """ParseError for a document without text, or with more of it than may be embedded; nothing is billed yet."""
    if not spans:
        raise ParseError("The document holds no text.")
    if len(spans) > settings.MAX_DOCUMENT_CHUNKS:
        raise ParseError(
            f"The document is too long: {len(spans)} passages, where {settings.MAX_DOCUMENT_CHUNKS} are allowed. "
            "Please upload it in parts."
        )
    characters = sum(len(span.text) for span in spans)
    if characters > settings.MAX_EMBEDDED_CHARACTERS:
        raise ParseError(
            f"The document is too long: {characters} characters, where {settings.MAX_EMBEDDED_CHARACTERS} are "
            "allowed. Please upload it in parts."
        )


def _row(version: DocumentVersion, span: Span) -> dict[str, Any]:
    return {
        "id": chunk_id(version.client_id, version.pk, span.index),
        "version": version.pk,
        "index": span.index,
        "text": span.text,
        "start": span.start,
        "end": span.end,
        "tokens": span.tokens,
        "page_from": span.page_from,
        "page_to": span.page_to,
        "heading_path": span.heading_path,
    }
