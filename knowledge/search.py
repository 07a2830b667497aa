"""A question to the client's passages that may answer it: the only door through which chat reaches knowledge."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from channels.db import database_sync_to_async
from django.db.models import F

from knowledge.embeddings import EmbeddingError, get_embedder
from knowledge.embeddings.models import model_of
from knowledge.models import Chunk
from knowledge.ranking import Scored, rank
from knowledge.vectors import VectorError, VectorStore
from tenants.errors import ApiError
from tenants.scoping import client_scope

log = structlog.get_logger(__name__)
CANDIDATES = 50  # a leg; deeper ones changed no figure


@dataclass(frozen=True)
class Passage:
    """A chunk of a live document: `text` is `parsed_text[start:end]`; `score` is 0..1, comparable between questions."""

    chunk_id: uuid.UUID
    document_id: str
    title: str
    text: str
    start: int
    end: int
    page: int | None
    page_to: int | None
    index: int
    heading_path: tuple[str, ...]
    score: float
    version_id: int


async def search(client_id: uuid.UUID, question: str, *, limit: int = 5) -> list[Passage]:
    """At most `limit` passages, best first; none when nothing passes the model's threshold.

    Raises ApiError VECTOR_SEARCH_ERROR when the embedder or the store can't answer.
    """
    try:
        store = VectorStore.for_client(client_id)
        vector = await get_embedder(store.model).embed_question(question)
        candidates = await store.search(vector, question, CANDIDATES)
    except (VectorError, EmbeddingError) as error:
        log.error("search failed", client_id=str(client_id), exc_info=error)
        raise ApiError("VECTOR_SEARCH_ERROR", "The knowledge base can't be searched right now.") from error
    ranked = rank(candidates, model_of(store.model).ranking)
    if not ranked:
        return []
    return (await database_sync_to_async(_load, thread_sensitive=False)(client_id, ranked))[:limit]


def _load(client_id: uuid.UUID, ranked: Sequence[Scored]) -> list[Passage]:
    """The rows of the points that still are part of a live version: rows are the truth, points may lag behind."""
    with client_scope(client_id):
        rows = (
            Chunk.objects.filter(pk__in=[scored.id for scored in ranked], version__document__live=F("version"))
            .select_related("version__document")
            .defer("version__text")
        )
        by_id = {row.pk: row for row in rows}
    return [_passage(by_id[scored.id], scored.score) for scored in ranked if scored.id in by_id]


def _passage(row: Chunk, score: float) -> Passage:
    document = row.version.document
    return Passage(
        chunk_id=row.pk,
        document_id=document.external_id,
        title=document.title,
        text=row.text,
        start=row.start,
        end=row.end,
        page=row.page_from,
        page_to=row.page_to,
        index=row.index,
        heading_path=tuple(row.heading_path),
        score=score,
        version_id=row.version_id,
    )
