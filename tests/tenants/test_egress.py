"""The way out: nowhere private, nowhere twice, never for long."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tenants import egress
from tenants.egress import EgressError, post

Serve = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a TCP server that gives each connection to a function; returns its port."""
    listeners: list[socket.socket] = []

    def start(handle: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    handle(connection)

        threading.Thread(target=run, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(
        next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split(b":")[1]
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def refusal(url: str) -> EgressError:
    with pytest.raises(EgressError) as caught:
        post(url, b"{}", {}, timeout=2)
    return caught.value


def test_a_post_arrives_whole_and_its_status_comes_back(serve: Serve, settings: Any) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.0/8"]
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")

    port = serve(answer)
    assert post(f"http://127.0.0.1:{port}/hook?a=1", b'{"x": 1}', {"X-Signature": "t=1"}) == 201
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?a=1 HTTP/1.1\r\n") and b"X-Signature: t=1" in head and body == b'{"x": 1}'
    assert f"Host: 127.0.0.1:{port}".encode() in head


def test_a_redirect_is_an_answer_and_is_not_followed(serve: Serve, settings: Any) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.0/8"]
    visited: list[str] = []
    elsewhere = serve(lambda connection: visited.append("elsewhere"))

    def redirect(connection: socket.socket) -> None:
        read_request(connection)
        location = f"Location: http://127.0.0.1:{elsewhere}/\r\n".encode()
        connection.sendall(b"HTTP/1.1 307 Temporary Redirect\r\n" + location + b"Content-Length: 0\r\n\r\n")

    assert post(f"http://127.0.0.1:{serve(redirect)}/", b"", {}) == 307
    assert visited == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "[fe80::1]",
     "[fd00::1]", "0.0.0.0", "100.64.0.1", "224.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1",
     "[64:ff9b::a00:1]", "[64:ff9b::a9fe:a9fe]", "[2002:a00:1::]", "[::10.0.0.1]", "[fec0::1]"],
)  # fmt: skip
def test_private_addresses_are_refused_in_every_spelling(host: str, settings: Any) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = []
    error = refusal(f"http://{host}/")
    assert error.refused and "private network" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com",
        "",
        "http://",
        "http://user@example.com/",
        "http://a:0/",
        "http://a:x/",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    assert refusal(url).refused


def test_a_trusted_name_leads_to_private_networks_but_never_to_the_metadata_service(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = ["express"]
    assert egress._allowed("express", "172.18.0.5")
    assert not egress._allowed("express", "169.254.169.254")
    assert not egress._allowed("other", "172.18.0.5")


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = []
    found = [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    assert refusal("http://two-faced.example/").refused


def test_a_name_of_several_addresses_is_reached_at_any_of_them(
    serve: Serve, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As "localhost" is ::1 first, where a server that listens on 127.0.0.1 does not answer."""
    settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.0/8"]

    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    port = serve(answer)
    found = [(2, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.3", "127.0.0.1")]
    monkeypatch.setattr("tenants.egress.socket.getaddrinfo", lambda *args, **kwargs: found)
    monkeypatch.setattr("tenants.egress.socket.create_connection", _directly)
    assert post(f"http://three.example:{port}/", b"", {}) == 204


def _directly(address: tuple[str, int], timeout: float) -> socket.socket:
    """As socket.create_connection, which would ask the resolver once more."""
    connection = socket.socket()
    connection.settimeout(timeout)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def test_the_name_is_resolved_once_and_the_connection_goes_there(
    serve: Serve, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that points to a public address when checked and to a private one when called gains nothing."""
    settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.2/32"]
    looked_up: list[str] = []

    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        looked_up.append(host)
        address = "127.0.0.2" if len(looked_up) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, args[0]))]

    visited: list[str] = []
    port = serve(lambda connection: visited.append("127.0.0.1"))
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *a, **k: resolve(host, *a, **k) if host == "rebind.example" else real(host, *a, **k),
    )
    error = refusal(f"http://rebind.example:{port}/")
    assert (error.refused, looked_up, visited) == (False, ["rebind.example"], [])


def drip(connection: socket.socket) -> None:
    read_request(connection)
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


@pytest.mark.parametrize("handle", [drip, lambda connection: time.sleep(5)], ids=["drips", "silent"])
def test_the_whole_call_ends_within_its_timeout(serve: Serve, settings: Any, handle: Any) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.0/8"]
    begun = time.monotonic()
    with pytest.raises(EgressError) as caught:
        post(f"http://127.0.0.1:{serve(handle)}/", b"{}", {}, timeout=0.5)
    assert not caught.value.refused and time.monotonic() - begun < 1.5


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, b"HTTP/1.1 " + b"9" * 70_000]
)
def test_a_broken_answer_is_an_error(serve: Serve, settings: Any, answer: bytes) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.0/8"]

    def reply(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    assert not refusal(f"http://127.0.0.1:{serve(reply)}/").refused


def test_a_certificate_that_nobody_vouches_for_is_refused(serve: Serve, settings: Any) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.0/8"]
    error = refusal(f"https://127.0.0.1:{serve(lambda connection: None)}/")
    assert not error.refused and isinstance(error.__cause__, ssl.SSLError | OSError)


def test_headers_and_bodies_have_bounds(settings: Any) -> None:
    settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.0/8"]
    with pytest.raises(EgressError):
        post("http://127.0.0.1:9/", b"x" * (egress.MAX_BODY + 1), {})
    with pytest.raises(EgressError):
        post("http://127.0.0.1:9/", b"", {"X": "a\r\nY: b"})
