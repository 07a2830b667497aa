"""A Stripe on localhost: keeps what it is sent, knows an idempotency key again, fails on request."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl


class StripeServer:
    """`calls` holds (path, form) of each distinct key; `failures` are statuses to answer first, 0 for a hang-up."""

    def __init__(self) -> None:
        self.calls: dict[str, tuple[str, dict[str, str]]] = {}
        self.requests = 0
        self.failures: list[int] = []
        self.answer_lost = False  # do the work, then hang up
        self.clock = time.time

    def handle(self, key: str, path: str, form: dict[str, str]) -> int:
        self.requests += 1
        if self.failures:
            return self.failures.pop(0)
        if int(form.get("timestamp", self.clock())) < self.clock() - 35 * 86400:
            return 400
        self.calls.setdefault(key, (path, form))
        if self.answer_lost:
            self.answer_lost = False
            return 0
        return 200


@contextmanager
def stripe_server() -> Iterator[tuple[StripeServer, str]]:
    stripe = StripeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Authorization"] == "Bearer sk_test_1"
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            status = stripe.handle(self.headers["Idempotency-Key"], self.path, form)
            if not status:
                self.connection.close()
                return
            body = {} if status == 200 else {"error": {"type": "invalid_request_error", "message": "No such meter"}}
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield stripe, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
