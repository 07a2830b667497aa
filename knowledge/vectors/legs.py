"""A hybrid search has two legs, vectors and words; here their findings become candidates."""

import uuid
from collections.abc import Mapping

import qdrant_edge

from knowledge.vectors import sparse
from knowledge.vectors.base import DENSE, SPARSE, Candidate

Found = dict[str, dict[uuid.UUID, float]]  # leg -> point -> score


def missing(found: Found) -> dict[str, set[uuid.UUID]]:
    """For each leg the points that only the other one found: their score is still to be asked for."""
    everything = {id for scores in found.values() for id in scores}
    return {leg: missed for leg, scores in found.items() if (missed := everything - scores.keys())}


def candidates(found: Found, terms: qdrant_edge.SparseVector, passages: int) -> list[Candidate]:
    """One candidate a point. `terms` are the question's, `passages` is how many the client has."""
    words: Mapping[uuid.UUID, float] = found.get(SPARSE, {})
    highest = sparse.highest_score(terms, passages) if words else 1.0
    return [Candidate(id, score, words.get(id, 0.0) / highest) for id, score in found[DENSE].items()]
