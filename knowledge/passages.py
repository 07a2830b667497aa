"""Chunks as the answer sees them: no near-duplicates, neighbours joined, within a budget of tokens."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

TOKENS = 3_000  # of all passages together: five whole chunks and some neighbours
SAME = 0.8  # share of common words from which two passages say the same
LONGEST_JOIN = 3  # chunks in a row


@dataclass(frozen=True)
class Passage:
    """Text of a live document: `text` is `parsed_text[start:end]`.

    `chunk_id` and `index` are those of its best chunk; `page` to `page_to` are the pages it is on, where there are
    pages; `score` is 0..1 and comparable between questions.
    """

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


@dataclass
class _Taken:
    passage: Passage
    first: int  # chunk indexes that it spans
    last: int
    tokens: int
    words: frozenset[str]


def select(
    ranked: Iterable[tuple[Passage, int]], limit: int, between: Callable[[Passage, Passage], str]
) -> list[Passage]:
    """At most `limit` of the ranked passages (each with its tokens), in their order.

    This is maximal marginal relevance with a hard edge: relevance decides, unless a passage repeats one that was
    taken. A chunk beside one that was taken is joined to it; `between` gives the text from one to the other.
    """
    taken: list[_Taken] = []
    for passage, tokens in ranked:
        words = frozenset(passage.text.split())
        if any(_similarity(words, other.words) > SAME for other in taken):
            continue
        if sum(other.tokens for other in taken) + tokens > TOKENS:
            continue
        if beside := next((other for other in taken if _adjacent(other, passage)), None):
            _join(beside, passage, tokens, words, between)
        else:
            if len(taken) == limit:
                break
            taken.append(_Taken(passage, passage.index, passage.index, tokens, words))
    return [each.passage for each in taken]


def _similarity(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard's: common words over all words."""
    common = len(a & b)
    return common / (len(a) + len(b) - common or 1)


def _adjacent(taken: _Taken, passage: Passage) -> bool:
    same = taken.passage.version_id == passage.version_id
    return same and passage.index in (taken.first - 1, taken.last + 1) and taken.last - taken.first + 1 < LONGEST_JOIN


def _join(
    taken: _Taken, new: Passage, tokens: int, words: frozenset[str], between: Callable[[Passage, Passage], str]
) -> None:
    left, right = sorted((taken.passage, new), key=lambda passage: passage.start)
    gap = between(left, right) if right.start > left.end else ""
    text = left.text + gap + right.text[max(0, left.end - right.start) :]
    pages = [page for each in (left, right) for page in (each.page, each.page_to) if page is not None]
    taken.passage = replace(
        taken.passage,
        text=text,
        start=left.start,
        end=max(left.end, right.end),
        page=min(pages, default=None),
        page_to=max(pages, default=None),
    )
    taken.first, taken.last = min(taken.first, new.index), max(taken.last, new.index)
    taken.tokens += tokens
    taken.words |= words
