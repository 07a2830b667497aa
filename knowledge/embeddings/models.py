"""The embedding models as data: where each runs, its size, and what was measured for ranking with it.

A model is named in the index by its key, `name@dimensions` (a `/` becomes `~`, as keys are also names of
directories and collections): the same name at another size is another model.
"""

import functools
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

from django.conf import settings

RANKINGS = Path(__file__).parent / "rankings.json"


@dataclass(frozen=True)
class Ranking:
    """How raw scores become one score, 0..1. `manage.py tune_retrieval --save` writes them to rankings.json.

    relevance = dense * cosine + sparse * BM25 share + coverage * coverage: a convex combination (the three weights
    add up to 1) of scores that are at most 1. score = logistic((relevance - middle) / scale), about the probability
    that the question is on topic. A question is refused when no passage's score reaches `threshold`; a cosine of at
    least `convincing` is enough without any common word, and lifts a score to the threshold.
    """

    dense: float
    sparse: float
    coverage: float
    middle: float = 0.25
    scale: float = 0.03
    threshold: float = 0.5
    convincing: float = 1.0

    def relevance(self, dense: float, sparse: float, coverage: float) -> float:
        return self.dense * dense + self.sparse * sparse + self.coverage * coverage

    def curve(self, relevance: float) -> float:
        return 1 / (1 + math.exp(min(700.0, (self.middle - relevance) / self.scale)))

    def score(self, dense: float, sparse: float, coverage: float) -> float:
        score = self.curve(self.relevance(dense, sparse, coverage))
        return max(score, self.threshold) if dense >= self.convincing else score


# For a model that nobody has measured: lenient, as a language model can still say that nothing answers. The figures
# of OpenAI's models in rankings.json are estimates of the same kind; `tune_retrieval` with a key replaces them.
UNMEASURED = Ranking(0.4, 0.5, 0.1, middle=0.2, threshold=0.4)


@dataclass(frozen=True)
class EmbeddingModel:
    """A model at one size. `provider` is "local" or "openai" (any server that speaks its embeddings call).

    `price`: dollars per million tokens, OpenAI's published ones of November 2026.
    """

    name: str
    dimensions: int
    provider: str = "openai"
    shortens: bool = False  # the provider can cut vectors to fewer dimensions
    price: str = "0"

    @property
    def ranking(self) -> Ranking:
        return _rankings().get(self.name, UNMEASURED)

    @property
    def key(self) -> str:
        return f"{self.name.replace('/', '~')}@{self.dimensions}"


MODELS = {
    model.name: model
    for model in (
        EmbeddingModel("all-minilm-l6-v2", 384, provider="local"),
        EmbeddingModel("text-embedding-3-small", 1536, shortens=True, price="0.02"),
        EmbeddingModel("text-embedding-3-large", 3072, shortens=True, price="0.13"),
    )
}


@functools.cache
def _rankings() -> dict[str, Ranking]:
    return {name: Ranking(**figures) for name, figures in json.loads(RANKINGS.read_text()).items()}


def wanted_model() -> EmbeddingModel:
    """The model that the settings name."""
    return find_model(settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS)


def model_of(key: str) -> EmbeddingModel:
    """The model behind an index's key (`name@dimensions`)."""
    name, _, dimensions = key.rpartition("@")
    return find_model(name.replace("~", "/"), int(dimensions))


def find_model(name: str, dimensions: int = 0) -> EmbeddingModel:
    """The model called `name`, at `dimensions` if given; ValueError says what to set for an unknown one."""
    known = MODELS.get(name)
    if known is None:
        if not dimensions:
            raise ValueError(f"EMBEDDING_MODEL {name!r} is not a known model: set EMBEDDING_DIMENSIONS as well.")
        return EmbeddingModel(name, dimensions)
    if dimensions in (0, known.dimensions):
        return known
    if not known.shortens:
        raise ValueError(f"{name} has {known.dimensions} dimensions, not {dimensions}: unset EMBEDDING_DIMENSIONS.")
    return replace(known, dimensions=dimensions)
