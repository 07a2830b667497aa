"""Bodies and WebSocket messages over the limit are refused by the server that really runs, before they are kept."""

import asyncio
import base64
import contextlib
import http.client
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from django.urls import reverse

from config.edge import MAX_SOCKET_MESSAGE, body_limit
from tests.flows.product import Product, served

MB = 1024 * 1024
REFUSAL = {"code": "FILE_TOO_LARGE", "message": "The request is too large.", "details": {}}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with served(tmp_path_factory.mktemp("edge")) as product:
        yield product


@pytest.mark.parametrize(
    "path, size",
    [("/api/widget/process-document", 20 * MB), ("/api/widget/internal/validate-client", 2 * MB), ("/nowhere", 2 * MB)],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_in_the_contracts_words(
    product: Product, path: str, size: int, chunked: bool
) -> None:
    status, headers, body = post(product, path, size, chunked)
    assert (status, json.loads(body)["error"]) == (413, REFUSAL)
    assert headers["x-request-id"] == json.loads(body)["traceId"]


@pytest.mark.parametrize("path", ["/api/widget/chat", "/api/widget/sessions/x/address"])
def test_a_page_can_read_that_its_body_is_too_large(product: Product, path: str) -> None:
    page = {"Origin": product.url, "X-Api-Key": product.widget_key}
    status, headers, _ = post(product, path, 2 * MB, False, **page)
    assert (status, headers["access-control-allow-origin"], headers["vary"]) == (413, product.url, "Origin")
    _, headers, _ = post(product, path, 2 * MB, False, **{**page, "X-Api-Key": "pk_live_" + "x" * 38})
    assert "access-control-allow-origin" not in headers


def test_a_file_may_be_as_large_at_the_desk_as_from_express() -> None:
    assert (
        body_limit(reverse("admin:knowledge_document_upload")) == body_limit("/api/widget/process-document") > 13 * MB
    )


def test_a_chat_question_has_its_own_smaller_limit(product: Product) -> None:
    status, _, body = post(product, "/api/widget/chat", 100_000, False)
    assert (status, json.loads(body)["error"]["code"]) == (413, "FILE_TOO_LARGE")


def test_a_body_without_end_costs_no_memory_and_is_cut(product: Product) -> None:
    before = kept_bytes(product)
    with pytest.raises(OSError):
        post(product, "/api/widget/process-document", 200 * MB, True)
    assert kept_bytes(product) - before < 40 * MB


@pytest.mark.parametrize("frames", [1, 2], ids=["one frame", "two frames"])
def test_a_socket_message_over_the_limit_is_told_so_before_it_is_whole(product: Product, frames: int) -> None:
    with handshake(product, "/ws/widget/chat") as wire:
        assert wire.recv(4096).startswith(b"HTTP/1.1 101")
        if frames == 2:  # not over the limit by itself, but too much with what was before it
            wire.sendall(b"\x01\x81maskx" + b"\x80\xff" + MAX_SOCKET_MESSAGE.to_bytes(8, "big") + b"mask")
        else:
            wire.sendall(b"\x81\xff" + (MAX_SOCKET_MESSAGE + 1).to_bytes(8, "big") + b"mask")
        wire.settimeout(5)  # who never sends a key is closed after 10 seconds
        wire.sendall(b"x" * 1000)
        told = wire.recv(4096)
        assert (told[0], told[2:4]) == (0x88, (1009).to_bytes(2, "big"))
        with contextlib.suppress(ConnectionResetError):
            assert wire.recv(4096) == b""  # it waits for no answer


def test_any_other_fault_on_a_socket_drops_the_connection_at_once(product: Product) -> None:
    """A ping without end would be kept while it is waited for."""
    with handshake(product, "/ws/widget/chat") as wire, contextlib.suppress(ConnectionResetError):
        assert wire.recv(4096).startswith(b"HTTP/1.1 101")
        wire.sendall(b"\x89\xff" + (1 << 40).to_bytes(8, "big") + b"mask")
        wire.settimeout(5)
        assert wire.recv(4096) == b""


FLOODS = {
    "answers left unread": lambda: frame(json.dumps({"type": "ping", "id": "x" * 60_000})),
    "pongs left unread": lambda: frame("x" * 125, 9) * 500,
}


@pytest.mark.parametrize("flood", FLOODS)
def test_who_leaves_unread_what_it_is_told_is_not_listened_to(product: Product, flood: str) -> None:
    """It is held up by its own connection: what is kept of it is bounded, and nobody else waits."""
    before, sent, data = kept_bytes(product), 0, FLOODS[flood]()
    with handshake(product, "/ws/widget/chat", Origin=product.url) as wire:
        assert wire.recv(4096).startswith(b"HTTP/1.1 101")
        wire.sendall(frame(json.dumps({"type": "auth", "apiKey": product.widget_key})))
        assert b"ready" in wire.recv(4096)
        wire.settimeout(1)
        with pytest.raises((TimeoutError, ConnectionError)):
            while sent < 100 * MB:
                sent += wire.send(data)
        assert product.request("GET", "/health/live")[0] == 200
        assert kept_bytes(product) - before < 20 * MB


def test_who_reads_late_gets_all_that_it_was_told(product: Product) -> None:
    with handshake(product, "/ws/widget/chat", Origin=product.url) as wire:
        assert wire.recv(4096).startswith(b"HTTP/1.1 101")
        wire.sendall(frame(json.dumps({"type": "auth", "apiKey": product.widget_key})))
        pings = b"".join(frame(json.dumps({"type": "ping", "id": f"{n:02}" + "x" * 50_000})) for n in range(60))
        sender = threading.Thread(target=wire.sendall, args=(pings,))
        sender.start()
        wire.settimeout(20)
        told = b""
        while told.count(b'"event": "pong"') < 60:
            told += wire.recv(65536)
        sender.join()
    assert re.findall(rb'"id": "(\d\d)x', told) == [b"%02d" % n for n in range(60)]


async def test_who_leaves_while_being_let_in_makes_no_noise(product: Product) -> None:
    """Between a goodbye and the connection's end there is still something on its way to who has left."""
    assert product.log
    before = product.log.read_text()
    async with aiohttp.ClientSession(headers={"Origin": product.url}) as visitors:

        async def leave(seconds: float) -> None:
            wire = await visitors.ws_connect(product.url + "/ws/widget/chat")
            await wire.send_json({"type": "auth", "apiKey": product.widget_key})
            await asyncio.sleep(seconds)
            await wire.close()

        for _ in range(15):
            await asyncio.gather(*[leave(at / 300) for at in range(6)])
    assert product.request("GET", "/health/live")[0] == 200
    assert product.log.read_text() == before


@pytest.mark.parametrize("path", ["/", "/ws", "/ws/widget/chat/", "/ws/desk/conversations/x"])
def test_a_socket_where_there_is_none_is_refused_without_noise(product: Product, path: str) -> None:
    assert product.log
    before = product.log.read_text()
    with handshake(product, path) as wire:
        assert wire.recv(4096).startswith(b"HTTP/1.1 403")
    assert product.log.read_text() == before


@pytest.mark.parametrize("root", ["/health", "/elsewhere", "/\xff"])
def test_a_caller_can_t_say_where_the_service_is_mounted(product: Product, root: str) -> None:
    """Daphne believes this header, of whoever sends it: an address would be another one than a proxy has judged."""
    assert product.request("GET", "/health/live", Daphne_Root_Path=root)[0] == 200
    assert product.request("GET", "/elsewhere/health/live", Daphne_Root_Path=root)[0] == 404


def test_every_response_says_that_its_type_is_meant(product: Product) -> None:
    for method, path in (("GET", "/health/live"), ("POST", "/api/widget/chat"), ("GET", "/widget/v2/widget.js")):
        assert product.request(method, path)[1]["x-content-type-options"] == "nosniff"


def test_nothing_follows_the_headers_where_only_those_were_asked_for(product: Product) -> None:
    """However long the body would be: it would be read as the response to the next request on the connection."""
    assert len(product.request("GET", "/api/schema")[2]) > 65_536  # in more than one piece
    parts = urlsplit(product.url)
    with socket.create_connection((parts.hostname, parts.port), 30) as wire:
        wire.sendall(f"HEAD /api/schema HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        wire.sendall(f"GET /health/live HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())  # the last on it
        told = b"".join(iter(lambda: wire.recv(65536), b""))
    replies = [reply[:15] for reply in told.split(b"\r\n\r\n")]
    assert replies == [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b'{"status": "liv']


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=other", "; boundary=" + "x" * 300])
@pytest.mark.parametrize("path", ["process-document", "chat", "internal/validate-client"])
def test_a_form_with_a_bad_boundary_is_refused_in_the_contracts_words(
    product: Product, path: str, boundary: str
) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="documentId"\r\n\r\n1\r\n--x--\r\n'
    headers = {"Content_Type": f"multipart/form-data{boundary}", "X_Internal_Secret": product.secret}
    status, told, body = product.request("POST", f"/api/widget/{path}", form, **headers)
    assert (status, json.loads(body)["error"]["code"]) == (400, "INVALID_REQUEST")
    assert told["x-request-id"] == json.loads(body)["traceId"]


def frame(data: str, opcode: int = 1) -> bytes:
    """One of a client's, masked with zeros."""
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + data.encode()


def handshake(product: Product, path: str, **headers: str) -> socket.socket:
    """A connection on which a WebSocket was asked for."""
    parts = urlsplit(product.url)
    wire = socket.create_connection((parts.hostname, parts.port), 10)
    key = base64.b64encode(os.urandom(16)).decode()
    wire.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n".encode()
        + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        + b"\r\n"
    )
    return wire


def post(product: Product, path: str, size: int, chunked: bool, **headers: str) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(product.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    pieces = (b"x" * min(MB, size - at) for at in range(0, size, MB))
    headers |= {} if chunked else {"Content-Length": str(size)}
    connection.request("POST", path, pieces, headers, encode_chunked=chunked)
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def kept_bytes(product: Product) -> int:
    """Resident memory of the serving process."""
    return int(Path(f"/proc/{product.pid}/statm").read_text().split()[1]) * 4096
