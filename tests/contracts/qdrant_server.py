"""A small Qdrant for tests: qdrant-client's local mode behind the server's REST paths.

It refuses what the server's strict mode refuses (conditions on fields without an index) and keeps every
request that reached it, so that a test can look at what left the client library.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from qdrant_client import QdrantClient, models


@dataclass
class Request:
    method: str
    path: str
    body: dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass
class SmallQdrant:
    """The state behind the paths. `failures` are raised, one a request, before anything is done; `tamper` may change
    a request as if it had been sent so."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    failures: list[Refused] = field(default_factory=list)
    tamper: Callable[[Request], None] | None = None
    collections: dict[str, dict[str, Any]] = field(default_factory=dict)  # as they were asked for
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    store: QdrantClient = field(default_factory=lambda: QdrantClient(":memory:"))
    loses_writes: bool = False  # points are acknowledged and not there, as after a restart on a disk that lied
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        with self.lock:
            request = Request(method, path, body)
            if self.tamper:
                self.tamper(request)
            self.requests.append(request)
            if self.failures:
                raise self.failures.pop(0)
            for route_method, pattern, handle in ROUTES:
                match = re.fullmatch(pattern, path)
                if match and method == route_method:
                    if (name := match.groupdict().get("name")) and handle not in FREE:
                        self.check(name, body)
                    return handle(self, body=body, **match.groupdict())
        raise Refused(404, f"there is no {method} {path}")

    def check(self, name: str, body: dict[str, Any]) -> None:
        if name not in self.collections:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        if unindexed := set(_condition_keys(body)) - self.indexes[name].keys():
            raise Refused(400, f"Bad request: Index required but not found for {unindexed}")


def _condition_keys(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "key" in node and "match" in node:
            yield node["key"]
        for value in node.values():
            yield from _condition_keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from _condition_keys(value)


def _exists(qdrant: SmallQdrant, name: str, body: Any) -> Any:
    return {"exists": name in qdrant.collections}


def _create(qdrant: SmallQdrant, name: str, body: Any) -> Any:
    if name in qdrant.collections:
        raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
    wanted = models.CreateCollection.model_validate(body)
    qdrant.store.create_collection(name, wanted.vectors, sparse_vectors_config=wanted.sparse_vectors)
    qdrant.collections[name], qdrant.indexes[name] = body, {}
    return True


def _drop(qdrant: SmallQdrant, name: str, body: Any) -> Any:
    qdrant.collections.pop(name, None)
    return qdrant.store.delete_collection(name)


def _index(qdrant: SmallQdrant, name: str, body: Any) -> Any:
    qdrant.indexes[name][body["field_name"]] = body["field_schema"]
    return DONE


def _upsert(qdrant: SmallQdrant, name: str, body: Any) -> Any:
    wanted = models.PointsList.model_validate(body)
    if qdrant.loses_writes:
        return DONE
    qdrant.store.upsert(name, wanted.points, update_filter=wanted.update_filter)
    return DONE


def _delete(qdrant: SmallQdrant, name: str, body: Any) -> Any:
    qdrant.store.delete(name, models.FilterSelector.model_validate(body))
    return DONE


def _count(qdrant: SmallQdrant, name: str, body: Any) -> Any:
    wanted = models.CountRequest.model_validate(body)
    return qdrant.store.count(name, wanted.filter)


def _scroll(qdrant: SmallQdrant, name: str, body: Any) -> Any:
    wanted = models.ScrollRequest.model_validate(body)
    points, offset = qdrant.store.scroll(
        name, wanted.filter, wanted.limit or 10, offset=wanted.offset, with_payload=bool(wanted.with_payload)
    )
    return {"points": points, "next_page_offset": offset}


def _query_batch(qdrant: SmallQdrant, name: str, body: Any) -> Any:
    wanted = models.QueryRequestBatch.model_validate(body)
    return qdrant.store.query_batch_points(name, wanted.searches)


def _aliases(qdrant: SmallQdrant, body: Any) -> Any:
    return qdrant.store.get_aliases()


def _change_aliases(qdrant: SmallQdrant, body: Any) -> Any:
    return qdrant.store.update_collection_aliases(models.ChangeAliasesOperation.model_validate(body).actions)


DONE = {"operation_id": 0, "status": "completed"}
_COLLECTION = "/collections/(?P<name>[^/]+)"
ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("POST", "/collections/aliases", _change_aliases),
    ("GET", "/aliases", _aliases),
    ("GET", f"{_COLLECTION}/exists", _exists),
    ("PUT", _COLLECTION, _create),
    ("DELETE", _COLLECTION, _drop),
    ("PUT", f"{_COLLECTION}/index", _index),
    ("PUT", f"{_COLLECTION}/points", _upsert),
    ("POST", f"{_COLLECTION}/points/delete", _delete),
    ("POST", f"{_COLLECTION}/points/count", _count),
    ("POST", f"{_COLLECTION}/points/scroll", _scroll),
    ("POST", f"{_COLLECTION}/points/query/batch", _query_batch),
]
FREE = (_exists, _create, _drop)  # these may name a collection that isn't there


@contextmanager
def small_qdrant() -> Iterator[SmallQdrant]:
    """The server on a free port of this machine."""
    qdrant = SmallQdrant()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # one packet an answer

        def handle_any(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            headers: dict[str, str] = {}
            try:
                result = qdrant.answer(self.command, unquote(self.path.partition("?")[0]), body)
                status, answer = 200, {"result": result, "status": "ok", "time": 0.0}
            except Refused as refused:
                status, headers = refused.status, refused.headers
                answer = {"status": {"error": str(refused)}, "time": 0.0}
            except ValueError as error:
                status, answer = 400, {"status": {"error": f"Wrong input: {error}"}, "time": 0.0}
            data = json.dumps(answer, default=lambda model: model.model_dump(mode="json")).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = handle_any

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    qdrant.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield qdrant
    finally:
        server.shutdown()
        server.server_close()
