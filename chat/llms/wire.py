"""One streamed call to a provider: deadlines, tries, server-sent events. What the events mean is the adapters' part."""

import asyncio
import contextlib
import json
import logging
import random
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import aiohttp
import httpx2
from django.conf import settings

from chat.llms.contract import LlmError, Patience
from chat.llms.tally import Tally
from tenants.errors import CODE, cause_of

log = logging.getLogger(__name__)
TRIES = 3
FIRST_BACK_OFF = 0.5  # seconds; doubles with each try
NO_MODEL = re.compile(r"\bmodel_(?:not_found|decommissioned|deprecated|retired)\b")  # codes of OpenAI and its kin
TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)


class Call(Protocol):
    """One try, made by an adapter."""

    def open(self) -> AbstractAsyncContextManager[Any]:
        """Entering it sends the request and gives the SDK's raw response; leaving it closes the connection."""

    def read(self, event: dict[str, Any]) -> str:
        """The text that this event carries (often none); notes usage and the end in the tally."""

    def translate(self, error: Exception) -> LlmError | None:
        """An error of this adapter's SDK as ours; None when it is none of the SDK's."""


class MakeCall(Protocol):
    def __call__(self, tally: Tally) -> Call: ...


async def pieces(make_call: MakeCall, tally: Tally, patience: Patience) -> AsyncGenerator[str, None]:
    """The answer's text as it comes. Tries again, within the deadline, only before the first piece."""
    now = asyncio.get_running_loop().time
    total_by = now() + settings.LLM_TOTAL_TIMEOUT
    for attempt in range(TRIES):
        try:
            async with contextlib.aclosing(_attempt(make_call(tally), tally, patience, total_by)) as said:
                async for piece in said:
                    tally.pieces.append(piece)
                    yield piece
            return
        except LlmError as error:
            log.info("A call to %s failed: %s", tally.model.id, error.detail)
            delay = (
                error.retry_after
                if error.retry_after is not None
                else FIRST_BACK_OFF * 2**attempt * random.uniform(0.75, 1.25)
            )
            last = attempt == TRIES - 1 or tally.pieces or not error.transient or now() + delay >= patience.first_by
            error.reached_model = tally.begun
            if last:
                raise
            await asyncio.sleep(delay)


async def _attempt(call: Call, tally: Tally, patience: Patience, total_by: float) -> AsyncGenerator[str, None]:
    now = asyncio.get_running_loop().time
    opened = call.open()
    try:
        async with asyncio.timeout_at(patience.first_by):
            response = await opened.__aenter__()
    except Exception as error:
        raise _ours(call, error) from error
    try:
        chunks = response.http_response.aiter_bytes()
        events = EventLines()
        deadline = patience.first_by
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(chunks, None)
            except Exception as error:
                if tally.stop:  # the answer is complete; only its accounts may be missing
                    return
                raise _ours(call, error) from error
            if chunk is None:
                break
            for event in events.feed(chunk):
                if piece := _read(call, event, tally):
                    yield piece
                    deadline = min(total_by, now() + patience.between)
    finally:
        await opened.__aexit__(None, None, None)
    if not tally.stop:
        raise LlmError(transient=True, detail="the stream ended without a stop reason")
    if not tally.pieces and tally.stop != "refusal":
        raise LlmError(detail=f"an answer without text, stopped for {tally.stop!r}")


def _read(call: Call, data: bytes, tally: Tally) -> str:
    if data == b"[DONE]":
        return ""
    try:
        event = json.loads(data)
        tally.begun = tally.begun or not event.get("error")
        return call.read(event)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        if tally.stop:
            return ""
        raise LlmError(transient=True, detail=f"malformed event: {cause_of(error)}") from error


def _ours(call: Call, error: Exception) -> Exception:
    """A failure of the SDK or the connection as an LlmError; anything else is a bug and stays what it is."""
    if isinstance(error, LlmError):
        return error
    if isinstance(error, TimeoutError):
        return LlmError("TIMEOUT", detail="deadline passed")
    translated = call.translate(error)
    if translated is not None:
        return translated
    if isinstance(error, TRANSPORT_ERRORS):
        return LlmError(transient=True, detail=f"connection broke: {cause_of(error)}")
    return error


class EventLines:
    """Bytes in, the data of whole server-sent events out; a chunk may end anywhere, in mid-character too."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
            elif self._data and line in (b"", b"\r"):
                yield b"\n".join(self._data)
                self._data.clear()


def from_status(status: int, headers: Any, body: Any, detail: str) -> LlmError:
    """What a provider's error status means: 408, 409, 429 and 5xx (529: overloaded) pass; a missing model stays."""
    transient = status in (408, 409, 429) or status >= 500
    said = json.dumps(body, default=str)
    gone = (status in (404, 410) and "model" in said) or (status == 400 and bool(NO_MODEL.search(said)))
    return LlmError(transient=transient, retry_after=_seconds(headers.get("retry-after")), gone=gone, detail=detail)


def code_of(error: Any) -> str:
    """What a provider calls its error. Its message is for nobody's log: it may quote the prompt."""
    name = error.get("code") or error.get("type") if isinstance(error, dict) else None
    return name if isinstance(name, str) and CODE.fullmatch(name) else "without a code"


def from_timeout(error: BaseException) -> LlmError:
    """An SDK's time-out error. The transport reports a refused or dropped connection as one, too; its cause tells."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectionError) and not isinstance(cause, TimeoutError):
            return LlmError(transient=True, detail=f"no connection: {cause_of(cause)}")
        cause = cause.__cause__
    return LlmError("TIMEOUT", transient=True, detail=cause_of(error))


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None  # a date: no provider sends one, and our own back-off serves
