"""Words to sparse vectors for BM25, the same for both stores (the engine multiplies with the IDF).

No stemmer of one language fits all documents, and a short question's language is a guess. So a word counts as
itself and, if it is longer than STEM letters, once more as its first STEM letters at half the weight: over
English and German that beat both languages' stemmers. A word of shops and help desks counts as its concept, too
(knowledge/concepts.py), so that "warranty" finds "guarantee". Stop words are dropped from questions only.
"""

import functools
import math
import re
from collections.abc import Iterable

import qdrant_edge as edge

from knowledge.concepts import concepts_in, concepts_of_word
from knowledge.words import joined

STEM = 6
STEM_WEIGHT = CONCEPT_WEIGHT = 0.5
K = 1.2
TOP = K + 1  # what a term's frequency can weigh at most

# Languages whose stop words are tried on a question; those that fit most of its words are dropped.
_LANGUAGES = (
    edge.Language.English,
    edge.Language.German,
    edge.Language.Spanish,
    edge.Language.French,
    edge.Language.Italian,
    edge.Language.Portuguese,
    edge.Language.Dutch,
    edge.Language.Swedish,
    edge.Language.Danish,
    edge.Language.Norwegian,
    edge.Language.Russian,
)
_WORD = re.compile(r"\w+")
_LONG = re.compile(rf"\b(\w{{{STEM}}})\w")
_LONG_ASCII = re.compile(_LONG.pattern, re.ASCII)  # in half the time
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{2,}")  # Chinese and Japanese write no spaces


def document(text: str) -> edge.SparseVector:
    """Term weights of a passage."""
    if text.isascii():
        long = _LONG_ASCII.findall(text)
    else:
        text = _spaced(text)
        long = _LONG.findall(text)
    return _plain().embed_document(" ".join((text, *long, *joined(text), *map(_term, sorted(concepts_in(text))))))


def question(text: str) -> edge.SparseVector:
    """Term weights of a question; no terms at all when it has only stop words."""
    weights: dict[int, float] = {}
    for word in content_words(text):
        weights |= dict.fromkeys(_plain().embed_query(word).indices, 1.0)
        if len(word) > STEM:
            weights |= dict.fromkeys(_plain().embed_query(word[:STEM]).indices, STEM_WEIGHT)
        for concept in concepts_of_word(word):
            weights |= dict.fromkeys(_plain().embed_query(_term(concept)).indices, CONCEPT_WEIGHT)
    return edge.SparseVector(list(weights), list(weights.values()))


def _term(concept: str) -> str:
    """A concept as a word that no text has."""
    return f"qx{concept[1:]}xq"


def highest_score(terms: edge.SparseVector, idf: float) -> float:
    """The BM25 of a passage full of all these terms, were each worth `idf`."""
    return sum(terms.values) * idf * TOP


def rarest_idf(passages: int) -> float:
    """The engine's IDF of a term that one of `passages` has."""
    return math.log(1 + (passages - 0.5) / 1.5)


def content_words(text: str) -> list[str]:
    """The distinct words of `text`, in order, without the stop words of the language that fits it best."""
    words = list(dict.fromkeys(_WORD.findall(_spaced(text.lower()))))
    stopped = max((_stop_words(language, words) for language in _LANGUAGES), key=len)
    return [word for word in words if word not in stopped]


def _stop_words(language: edge.Language, words: Iterable[str]) -> set[str]:
    return {word for word in words if _is_stop_word(language, word)}


def _spaced(text: str) -> str:
    """Runs without spaces as overlapping pairs of characters, the usual words of such languages."""
    return _UNSPACED.sub(lambda run: " ".join(map("".join, zip(run[0], run[0][1:], strict=False))), text)


@functools.lru_cache(50_000)
def _is_stop_word(language: edge.Language, word: str) -> bool:
    return not _without_stop_words(language).embed_query(word).indices


@functools.cache
def _without_stop_words(language: edge.Language) -> edge.Bm25:
    return edge.Bm25(edge.Bm25Config(stopwords=language, stemmer=edge.DisabledStemmer()))


@functools.cache
def _plain() -> edge.Bm25:
    nothing = edge.StopwordsSet(set(), set())
    return edge.Bm25(edge.Bm25Config(k=K, stopwords=nothing, stemmer=edge.DisabledStemmer(), ascii_folding=True))
