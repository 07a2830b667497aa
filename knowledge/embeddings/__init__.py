"""Texts to vectors: one file a provider, one contract (`Embedder`)."""

import threading

from knowledge.embeddings.base import Embedder, EmbeddingError
from knowledge.embeddings.models import EmbeddingModel, model_of, wanted_model

__all__ = ["Embedder", "EmbeddingError", "get_embedder"]

_embedders: dict[str, Embedder] = {}
_making = threading.Lock()


def get_embedder(key: str | None = None) -> Embedder:
    """The embedder of the model with this key (`name@dimensions`), by default the one the settings name.

    One a process; nothing is loaded before its first use.
    """
    model = model_of(key) if key else wanted_model()
    with _making:
        if model.key not in _embedders:
            _embedders[model.key] = _make(model)
        return _embedders[model.key]


def _make(model: EmbeddingModel) -> Embedder:
    if model.provider == "local":
        from knowledge.embeddings.local import MiniLm

        return MiniLm()
    from knowledge.embeddings.openai import OpenAiEmbedder

    return OpenAiEmbedder(model)
