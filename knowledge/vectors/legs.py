"""A hybrid search has two legs, vectors and words; here their findings become candidates.

BM25 alone can't say whether a question is on a client's topic: where every passage is about boots, "boots" earns
nothing. So a third score counts how much of the question a passage holds, whatever the words are worth: BM25 with
the IDF of an empty corpus, which is the same for every word.
"""

import math
import uuid

import qdrant_edge

from knowledge.vectors import sparse
from knowledge.vectors.base import DENSE, SPARSE, Candidate

COVERAGE = "coverage"
NO_VERSION = -1  # its points are the empty corpus
EMPTY_IDF = math.log(2)
Found = dict[str, dict[uuid.UUID, float]]  # leg -> point -> score


def missing(found: Found) -> dict[str, set[uuid.UUID]]:
    """Which points' scores are still to be asked for: those that only the other leg found, and all coverages."""
    everything = {id for scores in found.values() for id in scores}
    missed = {leg: everything - scores.keys() for leg, scores in found.items()}
    if SPARSE in found:
        missed[COVERAGE] = everything
    return {leg: ids for leg, ids in missed.items() if ids}


def candidates(found: Found, terms: qdrant_edge.SparseVector, passages: int) -> list[Candidate]:
    """One candidate a point. `terms` are the question's, `passages` is how many the client has."""
    words, covered = found.get(SPARSE, {}), found.get(COVERAGE, {})
    highest = sparse.highest_score(terms, sparse.rarest_idf(passages)) if words else 1.0
    fullest = sparse.highest_score(terms, EMPTY_IDF) if words else 1.0
    return [
        Candidate(id, score, words.get(id, 0.0) / highest, covered.get(id, 0.0) / fullest)
        for id, score in found[DENSE].items()
    ]
