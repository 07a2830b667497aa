"""What every embedder promises."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np


class EmbeddingError(Exception):
    """No vectors came back. `transient`: the same call may succeed later (an outage, a limit)."""

    def __init__(self, message: str, *, transient: bool, status: int | None = None):
        super().__init__(message)
        self.transient = transient
        self.status = status


def ignore_progress(done: int) -> None:
    """The default of `progress`."""


class Embedder(Protocol):
    """Texts to vectors of length 1."""

    model: str
    dimensions: int
    in_process: bool  # a question costs some milliseconds of this process, and no call to anybody

    def embed_passages(
        self, texts: Sequence[str], progress: Callable[[int], None] = ignore_progress
    ) -> tuple[list[np.ndarray], int]:
        """One float32 array of shape (windows, dimensions) a text, in order, and the tokens a provider billed.

        `progress` is told how many texts are done. Raises EmbeddingError; then nothing is returned at all.
        """

    async def embed_question(self, text: str) -> np.ndarray:
        """One float32 vector of shape (dimensions,)."""

    def load(self) -> None:
        """Have ready what the first call would wait for; asks nobody."""
