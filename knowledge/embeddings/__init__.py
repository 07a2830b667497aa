"""Texts to vectors: one file a provider, one contract (`Embedder`)."""

import threading
import uuid
from typing import TYPE_CHECKING

from knowledge.embeddings.base import Embedder, EmbeddingError
from knowledge.embeddings.models import EmbeddingModel, model_of, wanted_model

if TYPE_CHECKING:
    from knowledge.embeddings.cache import CachedEmbedder

__all__ = ["Embedder", "EmbeddingError", "get_embedder"]

_embedders: dict[str, Embedder] = {}
_making = threading.Lock()


def get_embedder(key: str | None = None, client_id: uuid.UUID | None = None) -> "CachedEmbedder":
    """The embedder of the model with this key (`name@dimensions`, as a vector store has in `model`).

    By default the model that the settings name. What it embeds is remembered for `client_id` for an hour.
    One provider a process, and nothing of it is loaded before its first use.
    """
    from knowledge.embeddings.cache import CachedEmbedder

    model = model_of(key) if key else wanted_model()
    with _making:
        if model.key not in _embedders:
            _embedders[model.key] = _make(model)
        return CachedEmbedder(_embedders[model.key], client_id)


def _make(model: EmbeddingModel) -> Embedder:
    if model.provider == "local":
        from knowledge.embeddings.local import MiniLm

        return MiniLm()
    from knowledge.embeddings.openai import OpenAiEmbedder

    return OpenAiEmbedder(model)
