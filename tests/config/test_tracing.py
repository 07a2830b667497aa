"""OpenTelemetry: silent and unloaded without its variables; with them, real spans over the real wire format."""

import gzip
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tenants import tracing
from tests.flows.product import Product, served
from tests.flows.test_embedded import QUESTION, demo_client

ROOT = Path(__file__).resolve().parents[2]


class Collector(ThreadingHTTPServer):
    """An OTLP/HTTP receiver."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: list[Span] = []
        self.services: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def of(self, trace_id: str, count: int, seconds: float = 30) -> list[Span]:
        """At least `count` spans of one trace."""
        deadline = time.monotonic() + seconds
        while True:
            found = [span for span in self.spans if span.trace_id == uuid.UUID(trace_id).bytes]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.05)


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = resource.resource.attributes
            self.server.services |= {each.value.string_value for each in about if each.key == "service.name"}
            self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Product]:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with served(tmp_path_factory.mktemp("tracing"), **settings) as product:
        yield product


def test_an_answer_is_one_trace_under_the_id_that_the_visitor_sees(product: Product, collector: Collector) -> None:
    key = product.widget_key
    _, answer = product.json("POST", "/api/widget/chat", {"message": QUESTION}, x_api_key=key)
    spans = collector.of(answer["traceId"], 8)
    by_id = {span.span_id: span.name for span in spans}
    assert sorted((span.name, by_id.get(span.parent_span_id, "")) for span in spans) == [
        ("embed", "request"),
        ("generate", "request"),
        ("index", "request"),
        ("log", "request"),
        ("request", ""),
        ("retrieve", "request"),
        ("rows", "request"),
        ("understand", "request"),
    ]
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for span in spans)
    assert collector.services == {"support-chat"}


def test_the_stages_of_ingestion_are_spans_of_their_attempt(product: Product, collector: Collector) -> None:
    upload = {"documentId": "traced", "clientId": demo_client(product), "fileType": "txt", "originalName": "a.txt"}
    headers = {"X_Internal_Secret": product.secret}
    product.json("POST", "/api/widget/process-document", {**upload, "fileData": "Qm9vdHMu"}, **headers)
    deadline = time.monotonic() + 30
    while not (runs := [span for span in collector.spans if span.name == "ingest"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    spans = collector.of(str(uuid.UUID(bytes=runs[-1].trace_id)), 5)
    below = {span.name for span in spans if span.parent_span_id == runs[-1].span_id}
    assert below == {"parse", "chunk", "embed", "store"}


def test_no_words_leave_with_the_spans(product: Product, collector: Collector) -> None:
    canary = "kanarienvogel"
    key = product.widget_key
    _, answer = product.json("POST", "/api/widget/chat", {"message": f"{QUESTION} {canary}"}, x_api_key=key)
    assert collector.of(answer["traceId"], 8)
    product.json("POST", "/api/widget/chat", {"message": canary, "sessionId": canary}, x_api_key=f"pk_live_{canary}")
    time.sleep(0.5)
    assert not [span for span in collector.spans if canary in str(span) or key in str(span)]
    refused = [span for span in collector.spans if span.status.code == span.status.STATUS_CODE_ERROR]
    assert [span.status.message for span in refused] == ["ApiError status=401 code=INVALID_API_KEY"]


def test_without_the_variables_nothing_is_loaded_and_a_span_is_nothing() -> None:
    assert not tracing.ON and tracing.span("a") is tracing.span("b", number=1)
    code = (
        "import sys, django; django.setup(); import config.asgi, knowledge.pipeline.ingest\n"
        "from chat.workflow.graph import answer_graph; answer_graph()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.exporter')])"
    )
    environment = {**os.environ, "QDRANT_URL": "http://127.0.0.1:1", "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
