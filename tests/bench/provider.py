"""A fake provider that costs next to nothing: OpenAI's streamed chat completions on a clock of its own.

`python -m tests.bench.provider PORT FIRST GAP PIECES`: FIRST seconds to the first piece, GAP between pieces.
Every piece is written at its own time, so what arrives late at a visitor was held up on the way.
"""

import asyncio
import json
import sys

from tests.contracts.llm_server import openai_events

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Provider(asyncio.Protocol):
    """One connection; it may carry one request after another, as SDKs keep it open."""

    def __init__(self, first: float, gap: float, pieces: list[bytes]):
        self.first, self.gap, self.pieces = first, gap, pieces
        self.transport: asyncio.Transport
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, ended, body = self.received.partition(b"\r\n\r\n")
        if not ended or len(body) < content_length(head):
            return
        self.received = b""
        if not self.first and not self.gap:
            self.transport.write(HEAD + b"".join(map(chunked, self.pieces)) + b"0\r\n\r\n")
            return
        self.transport.write(HEAD + chunked(self.pieces[0]))
        loop = asyncio.get_running_loop()
        loop.call_later(self.first, self._say, 1, loop.time() + self.first)

    def _say(self, at: int, due: float) -> None:
        if self.transport.is_closing():
            return
        if at < len(self.pieces) - 1:
            self.transport.write(chunked(self.pieces[at]))
            asyncio.get_running_loop().call_at(due + self.gap, self._say, at + 1, due + self.gap)
        else:
            self.transport.write(chunked(self.pieces[-1]) + b"0\r\n\r\n")


def content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def answer(pieces: int) -> list[bytes]:
    """The role event, `pieces` words of an answer that cites its first passage, and the end with its usage."""
    words = [f" word{number}" for number in range(pieces)]
    words[0], words[-1] = "Boots", " [1]."
    *events, stop, usage, done = openai_events(words)
    return [*events, stop + usage + done]


async def serve(port: int, first: float, gap: float, pieces: int) -> None:
    whole = answer(pieces)
    server = await asyncio.get_running_loop().create_server(
        lambda: Provider(first, gap, whole), "127.0.0.1", port, backlog=1024
    )
    print(json.dumps({"listening": port}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
