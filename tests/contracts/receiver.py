"""What Express is in tests: an HTTP server on localhost that keeps what it is sent and answers as scripted."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    raw: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)


@dataclass
class Receiver:
    url: str = ""
    script: list[int] = field(default_factory=list)  # statuses, one a request; then 204
    delay: float = 0.0
    received: list[Received] = field(default_factory=list)  # those answered with a 2xx
    refused: list[Received] = field(default_factory=list)

    def of(self, document_id: str) -> list[tuple[str, int]]:
        """(status, chunksProcessed) of a document's accepted callbacks, in the order in which they came."""
        bodies = [r.body for r in self.received]
        return [(b["status"], b["chunksProcessed"]) for b in bodies if b["documentId"] == document_id]


@contextmanager
def receiver() -> Iterator[Receiver]:
    express = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(express.delay)
            status = express.script.pop(0) if express.script else 204
            found = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
            (express.received if 200 <= status < 300 else express.refused).append(found)
            self.send_response(status)
            self.send_header("Location", express.url + "/elsewhere")  # followed by nobody
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    express.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield express
    finally:
        server.shutdown()
        server.server_close()
