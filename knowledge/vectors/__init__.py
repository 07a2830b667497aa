"""Where passages are found: the only importers of Qdrant, behind a store that cannot exist without a client."""

from knowledge.vectors.base import Candidate, Point, VectorError, VectorStore, VectorStoreTaken

__all__ = ["Candidate", "Point", "VectorError", "VectorStore", "VectorStoreTaken"]
