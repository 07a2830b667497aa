"""A small HTTP server that speaks the wire contract from a script, with the faults that a test asks for.

The widget's files come from Django's own views; the answers are canned, so that a cut, a refusal or a hostile
answer happens exactly when a test wants it.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.test import Client

TOKEN = "session-token-of-the-tests"
KEY = "pk_live_0123456789abcdefghijklmnopqrstuvwxyzAB"


@dataclass
class Answer:
    """What the next question gets. `cut_after` breaks the first connection after that many events."""

    pieces: list[str]
    sources: list[dict[str, Any]] = field(default_factory=list)
    pause: float = 0.0  # seconds before each piece
    cut_after: int | None = None
    error: tuple[int, str, str, dict[str, str]] | None = None  # status, code, message, headers: instead of an answer
    broken_stream: bool = False  # the connection ends after the headers, before any event
    failure: tuple[str, str] | None = None  # code, message: an `error` event after the pieces
    gate: threading.Event | None = None  # the pieces after the first wait for it
    trace_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    session_id: str = ""
    question: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def events(self) -> list[tuple[str, str]]:
        ids = {"traceId": self.trace_id, "sessionId": self.session_id, "sessionToken": TOKEN}
        events = [("start", json.dumps(ids)), *(("chunk", piece) for piece in self.pieces)]
        if self.failure:
            code, message = self.failure
            return [*events, ("error", json.dumps({"code": code, "message": message, "traceId": self.trace_id}))]
        usage = {"promptTokens": 9, "completionTokens": 9, "totalTokens": 18, "cached": False}
        return [*events, ("sources", json.dumps(self.sources)), ("usage", json.dumps(usage)), ("done", "[DONE]")]


class Service:
    """The script and the record of one test."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.widget: dict[str, Any] = {}
        self.answers: list[Answer] = []
        self.given: dict[str, Answer] = {}  # by trace id
        self.keyed: dict[str, Answer] = {}  # by idempotency key
        self.requests: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.pages: dict[str, tuple[str, dict[str, str]]] = {}
        self.config_error: tuple[int, str, str] | None = None

    def page(self, path: str, html: str, headers: dict[str, str] | None = None) -> None:
        """A page of the site that embeds the widget."""
        self.pages[path] = (html, headers or {})

    def seen(self, method: str, path: str) -> list[dict[str, Any]]:
        return [r for r in self.requests if r["method"] == method and r["path"].startswith(path)]


class Handler(BaseHTTPRequestHandler):
    service: Service
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_OPTIONS(self) -> None:
        self.answer(204)

    def do_GET(self) -> None:
        self.route()

    do_POST = do_DELETE = do_GET

    def route(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"null") if length else None
        path = self.path.split("?")[0]
        record = {
            "method": self.command,
            "path": path,
            "body": body,
            "headers": {k.lower(): v for k, v in self.headers.items()},
        }
        self.service.requests.append(record)
        if path in self.service.pages:
            html, headers = self.service.pages[path]
            time.sleep(float(headers.get("X-Delay", 0)))
            self.answer(200, html.encode(), {"Content-Type": "text/html; charset=utf-8", **headers})
        elif path.startswith("/widget/"):
            self.from_django(path)
        elif path.startswith("/api/widget"):
            self.api(self.command, path.removeprefix("/api/widget"), record)
        else:
            self.answer(404)

    def from_django(self, path: str) -> None:
        response = Client().get(path, headers={"accept-encoding": self.headers.get("Accept-Encoding", "")})
        self.answer(response.status_code, response.content, dict(response.headers))

    def api(self, method: str, path: str, record: dict[str, Any]) -> None:
        service = self.service
        if record["headers"].get("x-api-key") != KEY:
            return self.refuse(401, "INVALID_API_KEY", "The API key is missing or not valid.")
        if path == "/config":
            if service.config_error:
                return self.refuse(*service.config_error)
            return self.json({"widget": service.widget})
        if path in ("/chat", "/chat/stream") and method == "POST":
            return self.chat(path, record)
        if record["headers"].get("x-session-token") != TOKEN:
            return self.refuse(404, "NOT_FOUND", "There is no such conversation.")
        if path.startswith("/chat/stream/"):
            return self.resume(path.rsplit("/", 1)[1], int(record["headers"].get("last-event-id") or 0))
        if path.endswith("/messages"):
            return self.json({"messages": service.messages})
        if method == "DELETE":
            service.messages = []
            return self.answer(204)
        return self.json({})

    def chat(self, path: str, record: dict[str, Any]) -> None:
        service, key = self.service, record["headers"].get("idempotency-key", str(uuid.uuid4()))
        answer = service.keyed.get(key) or service.answers.pop(0)
        if answer.error:
            return self.refuse(*answer.error)
        if not answer.failure:  # else it is made again in its place
            service.keyed[key] = answer
        answer.session_id, answer.question = record["body"]["sessionId"], record["body"]["message"]
        service.given[answer.trace_id] = answer
        if path == "/chat":
            body = {"response": answer.text, "sources": answer.sources, "traceId": answer.trace_id}
            return self.json({**body, "sessionId": answer.session_id, "sessionToken": TOKEN})
        return self.stream(answer, 0)

    def resume(self, trace_id: str, after: int) -> None:
        answer = self.service.given.get(trace_id)
        if answer is None:
            return self.refuse(404, "NOT_FOUND", "There is no such answer.")
        return self.stream(answer, after)

    def stream(self, answer: Answer, after: int) -> None:
        self.send_response(200)
        self.cross_origin()
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        if answer.broken_stream:
            self.cut()
            return
        try:
            for number, (name, data) in list(enumerate(answer.events(), start=1))[after:]:
                if name == "chunk":
                    time.sleep(answer.pause)
                    if answer.gate and number > 2:
                        answer.gate.wait(20)
                lines = "".join(f"data: {line}\n" for line in data.split("\n"))
                self.wfile.write(f"id: {number}\nevent: {name}\n{lines}\n".encode())
                self.wfile.flush()
                if answer.cut_after == number:
                    answer.cut_after = None
                    break
        except OSError:
            pass  # the visitor has left
        self.cut()

    def cut(self) -> None:
        self.close_connection = True

    def json(self, body: dict[str, Any]) -> None:
        self.answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        body = {
            "error": {"code": code, "message": message, "details": {}},
            "message": message,
            "traceId": str(uuid.uuid4()),
        }
        self.answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.cross_origin()
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            if name != "Access-Control-Allow-Origin":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def cross_origin(self) -> None:
        self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin") or "*")
        self.send_header(
            "Access-Control-Allow-Headers", "x-api-key, x-session-token, content-type, idempotency-key, last-event-id"
        )
        self.send_header("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
        self.send_header("Access-Control-Expose-Headers", "Retry-After")


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """The service on a port of its own; yields its address."""
    handler = type("BoundHandler", (Handler,), {"service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
