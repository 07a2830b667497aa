"""How good an order of candidates is, and how well one score tells on-topic from off-topic questions."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from knowledge.embeddings.models import Ranking
from knowledge.tuning.labelled import Trial

STEPS = 20
WEIGHTS = [
    Ranking(dense / STEPS, (STEPS - dense - coverage) / STEPS, coverage / STEPS)
    for coverage in range(8)
    for dense in range(STEPS + 1 - coverage)
]
EQUAL = 0.001  # what a dozen questions more or less decide
REFUSED_ON_TOPIC = 0.05  # the share of answerable questions at which refusals are compared
RIDGE = 1e-6  # keeps the curve finite where both kinds can be parted without a rest
NEVER_CONVINCES = 0.995
# Well below that goal: visitors' questions are shorter than the labelled ones and share fewer words with a passage. Of
# the off-topic ones 97.5 % are refused there.
THRESHOLD_REFUSES = 0.03


@dataclass(frozen=True)
class Finding:
    """Shares of questions (0..1) whose right passage is first or among the first five, and two means of ranks."""

    hit1: float
    hit5: float
    mrr: float
    ndcg10: float


def finding(trials: Iterable[Trial], weights: Ranking) -> Finding:
    ranks = np.array([_rank(trial, weights) for trial in trials])
    gains = np.where(ranks < 10, 1 / np.log2(ranks + 2), 0)
    shares = [(ranks < 1).mean(), (ranks < 5).mean(), (1 / (ranks + 1)).mean(), gains.mean()]
    return Finding(*map(float, shares))


def _rank(trial: Trial, weights: Ranking) -> float:
    """The place (from 0) of the best right passage; infinity when it isn't among the candidates."""
    scores = trial.scores @ _vector(weights)
    right = [score for score, candidate in zip(scores, trial.candidates, strict=True) if candidate.id in trial.right]
    return float((scores > max(right)).sum()) if right else math.inf


def _vector(weights: Ranking) -> np.ndarray:
    return np.array([weights.dense, weights.sparse, weights.coverage])


def best_weights(finding_sets: Sequence[Sequence[Trial]], refusing_sets: Sequence[Sequence[Trial]]) -> Ranking:
    """The weights with the best mean of nDCG@10 (over the first sets) and AUROC (over the second); of equal ones
    those with the most on the vectors.

    Labelled questions were mostly written with the passage in sight and share its words more than visitors' do,
    so a tie goes to the leg that understands paraphrases.
    """

    def quality(weights: Ranking) -> float:
        found = [finding(trials, weights).ndcg10 for trials in finding_sets]
        told = [auroc(*best_relevances(trials, weights)) for trials in refusing_sets]
        return float(np.mean(found) + np.mean(told)) / 2

    qualities = {weights: quality(weights) for weights in WEIGHTS}
    good_enough = max(qualities.values()) - EQUAL
    return max((w for w in WEIGHTS if qualities[w] >= good_enough), key=lambda w: (w.dense, qualities[w]))


def best_relevances(trials: Iterable[Trial], weights: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """The relevance of each trial's best candidate, which decides over a refusal: of on- and of off-topic questions."""
    best: tuple[list[float], list[float]] = ([], [])
    for trial in trials:
        scores = trial.scores @ _vector(weights)
        best[0 if trial.right else 1].append(float(scores.max()) if len(scores) else 0.0)
    return np.array(best[0]), np.array(best[1])


def convincing(trials: Iterable[Trial]) -> float:
    """The cosine that hardly any off-topic question reaches with anything."""
    best = [float(trial.scores[:, 0].max()) for trial in trials if not trial.right and len(trial.scores)]
    return round(float(np.quantile(best, NEVER_CONVINCES)), 4)


def refused(trials: Iterable[Trial], ranking: Ranking) -> tuple[float, float]:
    """The shares of on- and of off-topic questions that `ranking` refuses."""
    refusals: tuple[list[bool], list[bool]] = ([], [])
    for trial in trials:
        best = max((ranking.score(c.dense, c.sparse, c.coverage) for c in trial.candidates), default=0.0)
        refusals[0 if trial.right else 1].append(best < ranking.threshold)
    return float(np.mean(refusals[0])), float(np.mean(refusals[1]))


def auroc(on: np.ndarray, off: np.ndarray) -> float:
    """How often an on-topic question scores above an off-topic one."""
    below = np.searchsorted(np.sort(off), on, "left") + np.searchsorted(np.sort(off), on, "right")
    return float(below.mean() / 2 / len(off))


def calibrated(on: np.ndarray, off: np.ndarray, weights: Ranking) -> Ranking:
    """`weights` with a logistic curve through both kinds, each with half the weight, and the threshold.

    The threshold refuses THRESHOLD_REFUSES of the on-topic questions.
    """
    x = np.concatenate([on, off])
    y = np.concatenate([np.ones(len(on)), np.zeros(len(off))])
    weight = np.concatenate([np.full(len(on), 0.5 / len(on)), np.full(len(off), 0.5 / len(off))])
    slope, offset = 10.0, -10.0 * x.mean()
    for _ in range(100):  # Newton's method
        p = 1 / (1 + np.exp(-np.clip(slope * x + offset, -500, 500)))
        error, curve = weight * (y - p), weight * p * (1 - p)
        gradient = np.array([(error * x).sum(), error.sum()]) - RIDGE * np.array([slope, offset])
        hessian = np.array([[(curve * x * x).sum(), (curve * x).sum()], [(curve * x).sum(), curve.sum()]])
        step = np.linalg.solve(hessian + RIDGE * np.eye(2), gradient)
        slope, offset = slope + step[0], offset + step[1]
        if np.abs(step).max() < 1e-9:
            break
    fitted = replace(weights, middle=round(float(-offset / slope), 4), scale=round(float(1 / slope), 4))
    return replace(fitted, threshold=round(fitted.curve(float(np.quantile(on, THRESHOLD_REFUSES))), 4))
