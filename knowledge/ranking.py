"""Which of the candidates answer, and in which order."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from knowledge.embeddings.models import Ranking
from knowledge.vectors import Candidate


@dataclass(frozen=True)
class Scored:
    id: uuid.UUID
    score: float  # 0..1, comparable between questions


def rank(candidates: Iterable[Candidate], ranking: Ranking) -> list[Scored]:
    """The candidates that pass the threshold, best first; equals in the order of their ids."""
    scored = [Scored(c.id, ranking.score(ranking.relevance(c.dense, c.sparse))) for c in candidates]
    return sorted((s for s in scored if s.score >= ranking.threshold), key=lambda s: (-s.score, s.id))
