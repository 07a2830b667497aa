"""The nginx example in front of two stand-ins for the web processes: a real nginx, real TLS, real sockets."""

import asyncio
import datetime
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services import free_port, wait_for_port

CONF = Path(__file__).resolve().parents[2] / "config" / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx on this machine (CI installs one)")


@dataclass
class WebProcess:
    """Answers as the product does: streams, sockets, and everything else by telling what it was sent."""

    name: str
    port: int = field(default_factory=free_port)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def echo(self, request: web.Request) -> web.Response:
        body = await request.read()
        return web.json_response({"name": self.name, "bytes": len(body), "headers": dict(request.headers)})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event: chunk\ndata: first\n\n")
        await self.go_on.wait()
        await response.write(b"event: done\ndata: [DONE]\n\n")
        return response

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            await response.send_str(f"{message.data} {request.headers['X-Forwarded-For']}")
        return response

    async def start(self) -> web.AppRunner:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_post("/api/widget/chat/stream", self.stream)
        application.router.add_get("/ws/widget/chat", self.socket)
        application.router.add_route("*", "/{path:.*}", self.echo)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        return runner


@dataclass
class Edge:
    """nginx, as a browser reaches it."""

    url: str
    plain: str
    log: Path
    session: aiohttp.ClientSession
    processes: list[WebProcess]
    runners: list[web.AppRunner]


@asynccontextmanager
async def edge(directory: Path) -> AsyncIterator[Edge]:
    processes = [WebProcess("web-1"), WebProcess("web-2")]
    runners = [await process.start() for process in processes]
    try:
        with nginx_before(directory, *(process.port for process in processes)) as (plain, secure, trust):
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
                urls = f"https://localhost:{secure}", f"http://localhost:{plain}"
                yield Edge(*urls, directory / "access.log", session, processes, runners)
    finally:
        for runner in runners:
            await runner.cleanup()


@contextmanager
def nginx_before(directory: Path, first: int, second: int) -> Iterator[tuple[int, int, ssl.SSLContext]]:
    """The example's nginx before two web processes at these ports: its ports without and with TLS, whom to trust."""
    plain, secure = free_port(), free_port()
    settings = {
        "/tmp/": f"{directory}/",
        "/etc/nginx/tls": str(directory),
        "/dev/stdout": str(directory / "access.log"),
        "/dev/stderr": str(directory / "error.log"),
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ": f"listen 127.0.0.1:{secure} ",
        "web-1:8000": f"127.0.0.1:{first}",
        "web-2:8000": f"127.0.0.1:{second}",
    }
    text = CONF.read_text()
    for ours, here in settings.items():
        assert ours in text
        text = text.replace(ours, here)
    certify(directory)
    nginx = start_nginx(directory, text)
    try:
        wait_for_port(secure)
        yield plain, secure, ssl.create_default_context(cafile=str(directory / "fullchain.pem"))
    finally:
        nginx.terminate()
        nginx.wait(20)


def start_nginx(directory: Path, text: str) -> subprocess.Popen[bytes]:
    """In the foreground; what `nginx -t` says of the file is the error."""
    user = "user root;\n" if os.geteuid() == 0 else ""  # pytest's directories are closed to others
    (directory / "nginx.conf").write_text(user + text)
    command = [str(NGINX), "-c", str(directory / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    return subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.DEVNULL)


def certify(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8, bare = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "privkey.pem").write_bytes(key.private_bytes(pem, pkcs8, bare))


async def test_a_stream_is_passed_on_piece_by_piece(tmp_path: Path) -> None:
    async with edge(tmp_path) as nginx, nginx.session.post(f"{nginx.url}/api/widget/chat/stream", json={}) as response:
        first = await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5)
        assert first == b"event: chunk\ndata: first\n\n"  # and nothing else was written yet
        for process in nginx.processes:
            process.go_on.set()
        assert await response.content.read() == b"event: done\ndata: [DONE]\n\n"


async def test_a_socket_is_passed_on_and_the_callers_address_is_not_the_callers_to_choose(tmp_path: Path) -> None:
    claimed = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http"}
    async with edge(tmp_path) as nginx:
        async with nginx.session.ws_connect(f"{nginx.url}/ws/widget/chat", headers=claimed) as socket:
            await socket.send_str("hello")
            assert (await socket.receive(5)).data == "hello 127.0.0.1"
        async with nginx.session.get(f"{nginx.url}/x", headers=claimed) as response:
            told = (await response.json())["headers"]
            assert (told["X-Forwarded-For"], told["X-Forwarded-Proto"], told["Host"]) == (
                "127.0.0.1",
                "https",
                "localhost",
            )


async def test_bodies_metrics_redirects_and_what_is_logged(tmp_path: Path) -> None:
    async with edge(tmp_path) as nginx:
        for size, expected in ((14_900_000, 200), (15 * 1024 * 1024 + 1, 413)):
            async with nginx.session.post(f"{nginx.url}/api/widget/process-document", data=b"x" * size) as response:
                assert response.status == expected
        async with nginx.session.get(f"{nginx.url}/metrics") as response:
            assert response.status == 404
        async with nginx.session.get(f"{nginx.plain}/x?y=1", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (308, "https://localhost/x?y=1")
        async with nginx.session.get(f"{nginx.url}/x?api_key=pk_live_secret") as response:
            assert response.status == 200
        await asyncio.sleep(0.2)
        assert re.search(r"GET /x 200", nginx.log.read_text()) and "pk_live_secret" not in nginx.log.read_text()


async def test_while_one_process_restarts_the_other_takes_every_request(tmp_path: Path) -> None:
    async with edge(tmp_path) as nginx:
        answers = [await ask(nginx) for _ in range(10)]
        assert {name for _, name in answers} == {"web-1", "web-2"}
        for stopped in (0, 1):
            await nginx.runners[stopped].cleanup()
            answers = [await ask(nginx) for _ in range(20)]
            assert set(answers) == {(200, nginx.processes[1 - stopped].name)}
            nginx.runners[stopped] = await nginx.processes[stopped].start()
            await asyncio.sleep(2.1)  # fail_timeout


async def ask(nginx: Edge) -> tuple[int, str]:
    async with nginx.session.post(f"{nginx.url}/api/widget/chat", json={"message": "hello"}) as response:
        return response.status, (await response.json())["name"]
