"""The embedding models as data: where each runs, its size, and what was measured for ranking with it.

A model is named in the index by its key, `name@dimensions` (a `/` becomes `~`, as keys are also names of
directories and collections): the same name at another size is another model.
"""

import math
from dataclasses import dataclass, replace

from django.conf import settings


@dataclass(frozen=True)
class Ranking:
    """How raw scores become one 0..1 score; every figure is measured by `manage.py tune_retrieval`.

    relevance = dense_weight * cosine + (1 - dense_weight) * BM25 share; score = logistic((relevance - middle) / scale).
    """

    dense_weight: float = 0.35
    middle: float = 0.25
    scale: float = 0.05
    threshold: float = 0.5

    def relevance(self, dense: float, sparse: float) -> float:
        return self.dense_weight * dense + (1 - self.dense_weight) * sparse

    def score(self, relevance: float) -> float:
        return 1 / (1 + math.exp((self.middle - relevance) / self.scale))


@dataclass(frozen=True)
class EmbeddingModel:
    """A model at one size. `provider` is "local" or "openai" (any server that speaks its embeddings call)."""

    name: str
    dimensions: int
    provider: str = "openai"
    shortens: bool = False  # the provider can cut vectors to fewer dimensions
    ranking: Ranking = Ranking()

    @property
    def key(self) -> str:
        return f"{self.name.replace('/', '~')}@{self.dimensions}"


MODELS = {
    model.name: model
    for model in (
        EmbeddingModel("all-minilm-l6-v2", 384, provider="local"),
        EmbeddingModel("text-embedding-3-small", 1536, shortens=True),
        EmbeddingModel("text-embedding-3-large", 3072, shortens=True),
    )
}


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
