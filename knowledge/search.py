"""A question to the client's passages that may answer it: the only door through which chat reads knowledge."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import structlog

from knowledge import metrics, spelling
from knowledge.concepts import only_concepts
from knowledge.embeddings import EmbeddingError, get_embedder
from knowledge.embeddings.models import Ranking, model_of
from knowledge.models import Chunk, Document, DocumentVersion
from knowledge.passages import Passage, select
from knowledge.vectors import Candidate, VectorError, VectorStore
from tenants import statements
from tenants.errors import ApiError
from tenants.scoping import client_scope
from tenants.threads import in_thread

__all__ = ["Passage", "begin", "question_vectors", "search"]

T = TypeVar("T")
log = structlog.get_logger(__name__)
SECONDS = 7.0  # for embedder and store together, with all that they repeat: a visitor waits
ROWS_SECONDS = 3.0  # for the database, with the wait for a thread and a connection
CANDIDATES = 40  # of each leg; more change no figure of `tune_retrieval`
SPELLINGS = 10  # passages that are looked at for how a word is spelt
CHUNK = ("id", "version", "text", "start", "end", "page_from", "page_to", "index", "heading_path", "tokens")
DOCUMENT = ("live", "external_id", "title")
_begun: "set[asyncio.Task[list[Passage]]]" = set()


async def search(client_id: uuid.UUID, question: str, *, limit: int = 5) -> list[Passage]:
    """At most `limit` passages, best first; none when nothing in the client's documents is on the question's topic.

    Raises ApiError VECTOR_SEARCH_ERROR when the embedder or the store can't answer, SERVICE_UNAVAILABLE when the
    database can't.
    """
    async with _in_time(client_id):
        ranked, ranking = await scores(client_id, question)
        if not _on_topic(ranked, ranking) and (meant := await _as_said(client_id, question)) != question:
            ranked, ranking = await scores(client_id, meant)
    if not _on_topic(ranked, ranking):
        return []
    with metrics.timed(metrics.SEARCH, "rows"):
        passages = await _read(client_id, in_thread(_load, client_id, ranked, limit))
    return passages if passages and passages[0].score >= ranking.threshold else []


def _on_topic(ranked: Sequence[tuple[uuid.UUID, float]], ranking: Ranking) -> bool:
    return bool(ranked) and ranked[0][1] >= ranking.threshold


async def _as_said(client_id: uuid.UUID, question: str) -> str:
    """`question` with what it misspells as the client's passages, which are found by all that the words may have been
    meant for, spell it; most often as it is."""
    doubted = spelling.doubtful(question)
    if not doubted:
        return question
    store = await _store(client_id)
    vector = await get_embedder(store.model, client_id).embed_question(question)  # remembered from the first search
    candidates = await store.search(vector, spelling.all_meant(doubted), SPELLINGS)
    nearest = sorted(candidates, key=lambda each: (-each.sparse, each.id))[:SPELLINGS]
    said = [(each.id, each.sparse) for each in nearest if each.sparse > 0]
    texts = await _read(client_id, in_thread(_texts, client_id, said)) if said else []
    return spelling.as_said(question, doubted, texts)


def begin(client_id: uuid.UUID, question: str) -> "asyncio.Task[list[Passage]] | None":
    """`search`, begun for a question that will probably be searched for while something else is done first. None for
    one that was asked within the hour: its whole answer is remembered, as a rule."""
    model = VectorStore.live_model_at_hand()
    if model is None or get_embedder(model, client_id).remembers(question):
        return None
    task = asyncio.create_task(search(client_id, question))
    _begun.add(task)  # the event loop alone would not keep it
    task.add_done_callback(_ended)
    return task


def _ended(task: "asyncio.Task[list[Passage]]") -> None:
    _begun.discard(task)
    if not task.cancelled():
        task.exception()  # whoever waits for it gets it; nobody may


async def scores(client_id: uuid.UUID, question: str) -> tuple[list[tuple[uuid.UUID, float]], Ranking]:
    """The nearest chunks' ids with their scores, best first, whatever the threshold; and the ranking behind them.

    Raises ApiError VECTOR_SEARCH_ERROR when the embedder or the store can't answer.
    """
    async with _in_time(client_id):
        store = await _store(client_id)
        with metrics.timed(metrics.SEARCH, "embed"):
            vector = await get_embedder(store.model, client_id).embed_question(question)
        with metrics.timed(metrics.SEARCH, "index"):
            candidates = await store.search(vector, question, CANDIDATES)
    ranking = model_of(store.model).ranking
    return rank(candidates, ranking, certain=only_concepts(question)), ranking


@contextlib.asynccontextmanager
async def _in_time(client_id: uuid.UUID) -> AsyncIterator[None]:
    """Within SECONDS; ApiError VECTOR_SEARCH_ERROR when the embedder or the store can't answer by then."""
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except (VectorError, EmbeddingError, TimeoutError) as error:
        log.error("search failed", client_id=str(client_id), exc_info=error)
        raise ApiError("VECTOR_SEARCH_ERROR", "The knowledge base can't be searched right now.") from error


async def _read(client_id: uuid.UUID, rows: Awaitable[T]) -> T:
    """`rows` within ROWS_SECONDS; ApiError SERVICE_UNAVAILABLE when the database can't."""
    try:
        async with asyncio.timeout(ROWS_SECONDS):
            return await rows
    except TimeoutError as error:
        log.error("the passages' rows were not read in time", client_id=str(client_id))
        raise ApiError("SERVICE_UNAVAILABLE", "The knowledge base can't be read right now.") from error


async def _store(client_id: uuid.UUID) -> VectorStore:
    model = VectorStore.live_model_at_hand() or await asyncio.to_thread(VectorStore.live_model)
    return VectorStore.for_client(client_id, model)


def rank(candidates: Sequence[Candidate], ranking: Ranking, *, certain: bool = False) -> list[tuple[uuid.UUID, float]]:
    """Ids with their scores, best first, equals in the order of their ids.

    `certain`: the question is one of a shop or a help desk by all its words ("Opening hours?"), so that whatever
    speaks of that is on its topic, however little it resembles so short a question.
    """
    scored = []
    for c in candidates:
        score = ranking.score(c.dense, c.sparse, c.coverage)
        if certain and c.coverage > 0:
            score = max(score, ranking.threshold)
        scored.append((score, ranking.relevance(c.dense, c.sparse, c.coverage), c.id))
    # What was lifted to the threshold has one score, and is told apart by its relevance.
    return [(id, score) for score, _, id in sorted(scored, key=lambda each: (-each[0], -each[1], each[2]))]


def _load(client_id: uuid.UUID, ranked: Sequence[tuple[uuid.UUID, float]], limit: int) -> list[Passage]:
    """Passages of the rows behind the points. Rows are the truth: a point without a live row is passed over."""
    with client_scope(client_id, in_haste=True):
        return select(_live(ranked, 2 * limit), limit, _between)


def _texts(client_id: uuid.UUID, ranked: Sequence[tuple[uuid.UUID, float]]) -> list[str]:
    with client_scope(client_id, in_haste=True):
        return [passage.text for passage, _ in _live(ranked, len(ranked))]


def _live(ranked: Sequence[tuple[uuid.UUID, float]], batch: int) -> Iterator[tuple[Passage, int]]:
    """The ranked chunks that are part of their document's live version, with their tokens."""
    for at in range(0, len(ranked), batch):
        scores = dict(ranked[at : at + batch])
        chunks = {row[0]: row for row in statements.select(Chunk, CHUNK, id=list(scores))}
        versions = list({row[1] for row in chunks.values()})
        live = {row[0]: row for row in statements.select(Document, DOCUMENT, live=versions)} if versions else {}
        for pk, score in scores.items():
            if pk in chunks and chunks[pk][1] in live:
                yield _passage(chunks[pk], live[chunks[pk][1]], score)


def _passage(chunk: tuple[Any, ...], document: tuple[Any, ...], score: float) -> tuple[Passage, int]:
    id, version_id, text, start, end, page, page_to, index, headings, tokens = chunk
    _, document_id, title = document
    headings = tuple(headings)
    passage = Passage(id, document_id, title, text, start, end, page, page_to, index, headings, score, version_id)
    return passage, tokens


def _between(left: Passage, right: Passage) -> str:
    """The document's text between two chunks that do not touch (white space, as a rule)."""
    return statements.part(DocumentVersion, "text", left.end, right.start, id=left.version_id)


async def question_vectors(client_id: uuid.UUID, questions: Sequence[str]) -> tuple[str, list[np.ndarray]]:
    """The key of the model that the client's index uses, and for each question its vector of length 1.

    What was asked within the last hour is remembered. ApiError VECTOR_SEARCH_ERROR as in `search`.
    """
    try:
        store = await _store(client_id)
        embedder = get_embedder(store.model, client_id)
        return store.model, [await embedder.embed_question(question) for question in questions]
    except (VectorError, EmbeddingError) as error:
        log.error("questions were not embedded", client_id=str(client_id), exc_info=error)
        raise ApiError("VECTOR_SEARCH_ERROR", "The knowledge base can't be searched right now.") from error
