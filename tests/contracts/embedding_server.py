"""A provider of embeddings on localhost that follows a script: OpenAI's wire format, and its bad days."""

import base64
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSIONS = 8


@dataclass
class Bad:
    """One answer that is not a good one."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: float = 0.0
    reset: bool = False
    leaves: bool = False  # closes the connection after its answer, unannounced


@dataclass
class Provider:
    url: str = ""
    script: list[Bad] = field(default_factory=list)  # taken one a request; then all answers are good
    requests: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    as_lists: bool = False
    most_texts: int = 2048
    too_much: Bad = field(default_factory=lambda: Bad(413, {"error": {"message": "batch too large"}}))
    delay: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


def vector_of(text: str) -> np.ndarray:
    """A fixed direction for each text, not of length 1."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    return np.random.default_rng(seed).normal(size=DIMENSIONS).astype("<f4") * 3


def good_answer(texts: list[str], as_lists: bool = False) -> dict[str, Any]:
    rows = []
    for index, text in reversed(list(enumerate(texts))):  # an order is promised by `index` alone
        vector = vector_of(text)
        embedding: Any = vector.tolist() if as_lists else base64.b64encode(vector.tobytes()).decode()
        rows.append({"object": "embedding", "index": index, "embedding": embedding})
    tokens = sum(len(text.split()) for text in texts)
    return {"object": "list", "data": rows, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, provider: Provider):
        super().__init__(("127.0.0.1", 0), Handler)
        self.provider = provider
        provider.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that a test has reset or left are no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    server: Server

    def setup(self) -> None:
        super().setup()
        with self.server.provider.lock:
            self.server.provider.connections += 1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        provider = self.server.provider
        with provider.lock:
            provider.requests.append(body | {"_path": self.path, "_key": self.headers["Authorization"]})
            provider.in_flight += 1
            provider.most_in_flight = max(provider.most_in_flight, provider.in_flight)
            bad = provider.script.pop(0) if provider.script else None
        try:
            self.answer(body["input"], bad)
        finally:
            with provider.lock:
                provider.in_flight -= 1

    def answer(self, texts: list[str], bad: Bad | None) -> None:
        time.sleep(bad.hang if bad else self.server.provider.delay)
        if bad and bad.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if bad is None and len(texts) > self.server.provider.most_texts:
            bad = self.server.provider.too_much
        body = good_answer(texts, self.server.provider.as_lists) if bad is None or bad.body is None else bad.body
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(bad.status if bad else 200)
        for name, value in {"Content-Length": str(len(data)), **(bad.headers if bad else {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = bool(bad and bad.leaves)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def embedding_provider() -> Iterator[Provider]:
    server = Server(Provider())
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server.provider
    finally:
        server.shutdown()
        server.server_close()
