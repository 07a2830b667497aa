"""Embeddings of OpenAI, or of any server that speaks its call, over plain HTTP.

The vendor's SDK costs four times the CPU for this one call (0.17 ms a passage against 0.035 with base64 read
straight into numpy) and a second to import, so it is not used here.
"""

import asyncio
import atexit
import base64
import binascii
import contextlib
import email.utils
import json
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
import numpy as np
from django.conf import settings

from knowledge.embeddings.base import EmbeddingError, ignore_progress
from knowledge.embeddings.models import EmbeddingModel

T = TypeVar("T")

# OpenAI takes 2,048 texts and 300,000 tokens a request; a token has at least 2 bytes in nearly all text (tables of
# figures have 1.4).
BATCH_TEXTS = 2_048
BATCH_BYTES = 600_000
IN_FLIGHT = 4
REQUEST_SECONDS = 60.0
PASSAGES_SECONDS = 240.0  # below the queue's own limit of 300 s for a job
QUESTION_SECONDS = 5.0  # a visitor waits
# Halves are tried then: a request has more tokens than OpenAI takes, or more texts than another server does.
TOO_MANY_TOKENS = "max_tokens_per_request"
TOO_MUCH = (413, 422)


class OpenAiEmbedder:
    """A provider's model. Several threads and event loops may use it: each loop has its own connections."""

    in_process = False

    def __init__(self, model: EmbeddingModel):
        self.model, self.dimensions = model.name, model.dimensions
        self._shortens = model.shortens

    def embed_passages(
        self, texts: Sequence[str], progress: Callable[[int], None] = ignore_progress
    ) -> tuple[list[np.ndarray], int]:
        return _run(self._embed_all(texts, progress))

    async def embed_question(self, text: str) -> np.ndarray:
        vectors, _ = await self._embed(_session(), [text], time.monotonic() + QUESTION_SECONDS)
        return vectors[0]

    def load(self) -> None:
        """The module is all there is."""

    async def _embed_all(self, texts: Sequence[str], progress: Callable[[int], None]) -> tuple[list[np.ndarray], int]:
        deadline = time.monotonic() + PASSAGES_SECONDS
        session = _session()
        await _notice_closed_connections()
        gate = asyncio.Semaphore(IN_FLIGHT)
        done = 0

        async def embed(batch: Sequence[str]) -> tuple[np.ndarray, int]:
            nonlocal done
            async with gate:
                vectors, tokens = await self._embed(session, batch, deadline)
            done += len(batch)
            progress(done)
            return vectors, tokens

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(embed(batch)) for batch in _batches(texts)]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None  # the first one stopped the others
        results = [task.result() for task in tasks]
        return [row[None] for vectors, _ in results for row in vectors], sum(tokens for _, tokens in results)

    async def _embed(
        self, session: aiohttp.ClientSession, texts: Sequence[str], deadline: float
    ) -> tuple[np.ndarray, int]:
        """Vectors (len(texts), dimensions), and the tokens billed; repeated until `deadline` where that helps."""
        body: dict[str, Any] = {"model": self.model, "input": [t or " " for t in texts], "encoding_format": "base64"}
        if self._shortens:
            body["dimensions"] = self.dimensions
        attempt = 0
        while True:
            status, answer, headers = await _post(session, body, deadline)
            if status == 200:
                return _vectors(answer, len(texts), self.dimensions)
            if (status in TOO_MUCH or _code(answer) == TOO_MANY_TOKENS) and len(texts) > 1:
                half = len(texts) // 2
                (first, some), (second, more) = [
                    await self._embed(session, part, deadline) for part in (texts[:half], texts[half:])
                ]
                return np.concatenate([first, second]), some + more
            wait = _pause(status, answer, headers, attempt)
            if wait is None or time.monotonic() + wait > deadline:
                raise EmbeddingError(_failure(status, answer), transient=wait is not None, status=status)
            attempt += 1
            await asyncio.sleep(wait)


_sessions: WeakKeyDictionary[Any, aiohttp.ClientSession] = WeakKeyDictionary()
_own = threading.local()  # the thread's runner, and the process that made it


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it in this thread's own event loop, which is kept, so that one connection serves many documents."""
    if getattr(_own, "pid", None) != os.getpid():
        _own.parents = getattr(_own, "runner", None)  # after a fork: closing it would disturb the parent's
        _own.pid, _own.runner = os.getpid(), asyncio.Runner()
    try:
        # Runner.run does so too, but its handling of Ctrl-C prints all vectors, at the price of two requests.
        return _own.runner.get_loop().run_until_complete(coroutine)
    except (KeyboardInterrupt, SystemExit):  # in the middle of requests, which nobody waits for any more
        interrupted, _own.runner = _own.runner, asyncio.Runner()
        with contextlib.suppress(KeyboardInterrupt, SystemExit):  # once more, from the tasks that it ends
            interrupted.close()
        raise


def _session() -> aiohttp.ClientSession:
    """The connections of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        _sessions[loop] = aiohttp.ClientSession()
    return _sessions[loop]


async def _notice_closed_connections() -> None:
    """Let the loop, which did not run between two documents, see which connections the provider has closed."""
    for _ in range(2):  # the first turn finds them, the second one drops them
        await asyncio.sleep(0)


@atexit.register
def _hang_up() -> None:
    """The process ends and the system closes its connections: nobody needs to be told that they were open."""
    for loop in _sessions:
        loop.set_exception_handler(lambda loop, context: None)


async def _post(session: aiohttp.ClientSession, body: dict[str, Any], deadline: float) -> tuple[int, Any, Any]:
    """Status, decoded body and headers; status 0 when no answer came."""
    address = f"{(settings.EMBEDDING_BASE_URL or 'https://api.openai.com/v1').rstrip('/')}/embeddings"
    how: dict[str, Any] = {
        "headers": {"Authorization": f"Bearer {settings.OPENAI_API_KEY}"},
        "timeout": aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=5),
        "allow_redirects": False,
    }
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            async with session.post(address, json=body, **how) as response:
                return response.status, _decoded(await response.read()), response.headers
    except (aiohttp.ClientError, TimeoutError) as error:
        return 0, str(error) or type(error).__name__, {}


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data[:200].decode(errors="replace")


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start, size = 0, 0
    for index, text in enumerate(texts):
        size += len(text.encode())
        if index > start and (size > BATCH_BYTES or index - start == BATCH_TEXTS):
            yield texts[start:index]
            start, size = index, len(text.encode())
    if start < len(texts):
        yield texts[start:]


def _vectors(answer: Any, count: int, dimensions: int) -> tuple[np.ndarray, int]:
    """The answer's vectors in the order of their texts, each checked and scaled to length 1."""
    try:
        rows = sorted(answer["data"], key=lambda row: row["index"])
        if [row["index"] for row in rows] != list(range(count)):
            raise EmbeddingError("The embedding provider left out some of the texts.", transient=True)
        vectors = [_vector(row["embedding"]) for row in rows]
        tokens = int((answer.get("usage") or {}).get("total_tokens") or 0)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise EmbeddingError(f"The embedding provider's answer can't be read: {error!r}", transient=False) from error
    for vector in vectors:
        if vector.shape != (dimensions,):
            raise EmbeddingError(f"A vector has {vector.size} numbers instead of {dimensions}.", transient=False)
    matrix = np.stack(vectors)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise EmbeddingError(
            "The embedding provider sent a vector that is not a direction (NaN or zero).", transient=False
        )
    return matrix / lengths, tokens


def _vector(embedding: str | list[float]) -> np.ndarray:
    """Base64 of little-endian float32; some compatible servers send a list all the same."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    return np.asarray(embedding, np.float32)


def _pause(status: int, answer: Any, headers: Any, attempt: int) -> float | None:
    """Seconds until a repetition may help; None when it can't."""
    if status not in (0, 408, 409, 429) and status < 500:
        return None
    if _code(answer) == "insufficient_quota":  # a 429 that only a payment ends
        return None
    return _retry_after(headers) or min(20.0, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)


def _retry_after(headers: Any) -> float | None:
    """The server's own wish: milliseconds, seconds or a date."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * scale)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return None


def _code(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("code") or "") if isinstance(error, dict) else ""


def _failure(status: int, answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else answer
    message = error.get("message") if isinstance(error, dict) else error
    return f"The embedding provider answered {status or 'nothing'}: {str(message)[:200]}"
