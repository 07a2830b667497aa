"""Words to sparse vectors for BM25, the same for both stores (the engine multiplies with the IDF)."""

import functools

import qdrant_edge


def document(text: str) -> qdrant_edge.SparseVector:
    return _bm25().embed_document(text)


def question(text: str) -> qdrant_edge.SparseVector:
    return _bm25().embed_query(text)


@functools.cache
def _bm25() -> qdrant_edge.Bm25:
    return qdrant_edge.Bm25()
