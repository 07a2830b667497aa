"""A scripted server that speaks the real wire formats of OpenAI (chat completions) and Anthropic (messages).

    with LlmServer() as server:
        server.script(openai_answer(["Hel", "lo"]), status(429, retry_after=1))
        ...                       # each request takes the next reply; the last one repeats
        server.requests[0].body   # what the client sent

A reply is a status line, headers and steps: bytes to send as they are, seconds to wait, HANG (say nothing
until the client leaves) or RESET (tear the connection). Run as a program it serves one timed answer to
everybody, for measurements: `python -m tests.contracts.llm_server --first 0.2 --gap 0.02 --pieces 50`.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

HANG = "hang"
RESET = "reset"
Step = bytes | float | str
REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error", 529: "Overloaded"}


@dataclass(frozen=True)
class Reply:
    steps: Sequence[Step]
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None  # when the client left before the reply was complete
    sent_steps: int = 0


# --- replies ------------------------------------------------------------------------------------------


def status(code: int, *, retry_after: float | None = None, body: dict[str, Any] | None = None) -> Reply:
    """An error as a JSON body, in a shape that both providers' SDKs read."""
    headers = {"content-type": "application/json"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    error = body or {"type": "error", "error": {"type": "some_error", "code": "some_error", "message": "secret detail"}}
    return Reply([json.dumps(error).encode()], code, headers)


def openai_events(
    pieces: Iterable[str], *, finish: str | None = "stop", usage: dict[str, Any] | None = None
) -> list[bytes]:
    """The events of one chat completion; `finish=None` leaves it without an end."""
    frame: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {
            **frame,
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}],
            "usage": None,
        }

    events = [chunk({"role": "assistant", "content": "", "refusal": None})]
    events += [chunk({"content": piece}) for piece in pieces]
    if finish:
        events.append(chunk({}, finish))
        events.append({**frame, "choices": [], "usage": usage or openai_usage()})
    return [sse(event) for event in events] + ([b"data: [DONE]\n\n"] if finish else [])


def openai_usage(prompt: int = 812, completion: int = 96, cached: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def anthropic_events(
    pieces: Iterable[str | dict[str, Any]],
    *,
    stop: str | None = "end_turn",
    usage: dict[str, Any] | None = None,
    output_tokens: int = 96,
) -> list[bytes]:
    """The events of one message. Among the pieces, a dict is a citation of the open text block, BLOCK opens another."""
    start_usage = {
        "input_tokens": 812,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "output_tokens": 1,
    }
    start_usage |= usage or {}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**message, "usage": start_usage}}]
    index = 0
    events.append({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})
    events.append({"type": "ping"})
    for piece in pieces:
        if isinstance(piece, dict):
            delta: dict[str, Any] = {"type": "citations_delta", "citation": piece}
        elif piece == BLOCK:
            events.append({"type": "content_block_stop", "index": index})
            index += 1
            events.append(
                {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
            )
            continue
        else:
            delta = {"type": "text_delta", "text": piece}
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
    if stop:
        events.append({"type": "content_block_stop", "index": index})
        delta = {"stop_reason": stop, "stop_sequence": None}
        events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}})
        events.append({"type": "message_stop"})
    return [sse(event, event["type"]) for event in events]


BLOCK = "\0block"  # among anthropic_events' pieces: a new text block begins here


def citation(passage: int, first_block: int, last_block: int | None = None) -> dict[str, Any]:
    """A search_result citation of the `passage`-th search result (from 0), blocks first..last."""
    last = first_block if last_block is None else last_block
    return {
        "type": "search_result_location",
        "cited_text": "cited",
        "source": "s",
        "title": None,
        "search_result_index": passage,
        "start_block_index": first_block,
        "end_block_index": last + 1,
    }


def sse(event: dict[str, Any], name: str | None = None) -> bytes:
    return (f"event: {name}\n" if name else "").encode() + f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def cut(events: Iterable[bytes], size: int) -> list[bytes]:
    """The same bytes in pieces of `size`, so that lines and characters are torn."""
    whole = b"".join(events)
    return [whole[i : i + size] for i in range(0, len(whole), size)]


def paced(events: Sequence[bytes], first: float, gap: float) -> list[Step]:
    """The same events with a wait before the first and between the others."""
    steps: list[Step] = [first]
    for event in events:
        steps += [event, gap]
    return steps[:-1]


# --- the server ---------------------------------------------------------------------------------------


class LlmServer:
    """Listens on a free port of localhost in a thread of its own."""

    def __init__(self, port: int = 0):
        self.port = port
        self.requests: list[Request] = []
        self.connections = 0
        self.default: dict[str, Reply] = {}  # by path, for requests when the script is empty
        self._script: list[Reply] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def script(self, *replies: Reply | Sequence[Step]) -> None:
        """The replies to the next requests, in order; the last one repeats."""
        self._script = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]

    def __enter__(self) -> "LlmServer":
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", self.port), self._loop
        )
        self._server = starting.result(5)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def openai_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def anthropic_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for_requests(self, count: int, seconds: float = 5) -> None:
        deadline = time.monotonic() + seconds
        while len(self.requests) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.requests)} of {count} requests came")
            time.sleep(0.005)

    def wait_until_left(self, request: Request, seconds: float = 2) -> float:
        """Seconds from now until the client closed the connection of `request`; TimeoutError when it did not."""
        began = time.monotonic()
        while request.closed_at is None:
            if time.monotonic() - began > seconds:
                raise TimeoutError("the connection stayed open")
            time.sleep(0.005)
        return time.monotonic() - began

    def _reply(self, path: str) -> Reply:
        if len(self._script) > 1:
            return self._script.pop(0)
        return self._script[0] if self._script else self.default[path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while request := await _read_request(reader):
                self.requests.append(request)
                await _send(self._reply(request.path), request, reader, writer)
        writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rest if row)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(line.split()[1], headers, json.loads(body or b"{}"))


async def _send(reply: Reply, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    writer.write(f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Error')}\r\n{headers}".encode())
    writer.write(b"transfer-encoding: chunked\r\n\r\n")
    leaving = asyncio.ensure_future(reader.read(1))
    try:
        for step in reply.steps:
            if isinstance(step, bytes):
                if leaving.done():
                    raise ConnectionResetError
                writer.write(b"%x\r\n%b\r\n" % (len(step), step))
                await writer.drain()
            elif step == RESET:
                _reset(writer)
                return
            else:
                await _wait_or_leave(leaving, None if step == HANG else float(step))
            request.sent_steps += 1
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    except ConnectionError:
        request.closed_at = time.monotonic()
        raise
    finally:
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving


async def _wait_or_leave(leaving: "asyncio.Future[bytes]", seconds: float | None) -> None:
    done, _ = await asyncio.wait([leaving], timeout=seconds)
    if done:
        raise ConnectionResetError


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with an RST, as a crashing server or a middlebox does."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    raise ConnectionResetError


@contextlib.contextmanager
def timed_server(*, first: float, gap: float, pieces: int, port: int = 0) -> Iterator[LlmServer]:
    """Answers everybody with `pieces` words, `first` seconds to the first and `gap` between them."""
    words = [f"word{number} " for number in range(pieces)]
    with LlmServer(port) as server:
        server.default = {
            "/v1/chat/completions": Reply(paced(openai_events(words), first, gap)),
            "/v1/messages": Reply(paced(anthropic_events(words), first, gap)),
        }
        yield server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--first", type=float, default=0.2)
    parser.add_argument("--gap", type=float, default=0.02)
    parser.add_argument("--pieces", type=int, default=50)
    options = parser.parse_args()
    with timed_server(**vars(options)) as server:
        print(f"OPENAI_BASE_URL={server.openai_url} ANTHROPIC_BASE_URL={server.anthropic_url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
