"""Raw scores of both legs to one order and one score."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from knowledge.embeddings.models import Ranking
from knowledge.vectors import Candidate


@dataclass(frozen=True)
class Scored:
    id: uuid.UUID
    score: float


def rank(candidates: Sequence[Candidate], ranking: Ranking) -> list[Scored]:
    """Candidates above the threshold, best first."""
    best = max((c.sparse for c in candidates), default=0.0) or 1.0
    weight = ranking.dense_weight
    scored = [Scored(c.id, weight * max(0.0, c.dense) + (1 - weight) * c.sparse / best) for c in candidates]
    return sorted((s for s in scored if s.score >= ranking.threshold), key=lambda s: (-s.score, s.id))
