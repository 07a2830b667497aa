"""One process owns the embedded shards; others on the machine ask it over a Unix socket.

Whoever first needs the shards takes the lock file and listens. `manage.py` commands that run beside the
server find the lock taken and connect; after the owner's death (flock ends with its process) the next
caller takes over. Only processes that know SECRET_KEY are answered.
"""

import contextlib
import fcntl
import functools
import json
import os
import socket
import sys
import tempfile
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

import structlog
from django.utils.crypto import salted_hmac

from knowledge.vectors.base import VectorError

log = structlog.get_logger(__name__)
LONGEST_SOCKET_PATH = 100  # the system allows about 107 bytes
CALLS = frozenset({"upsert", "delete", "delete_ids", "count", "ids", "search"})
ANSWER_SECONDS = 120


class OwnerGone(VectorError):
    """The owner died or stopped; the next call takes over or finds the new owner."""


class Taken(Exception):
    """The lock is held; the owner's note says by whom and where it listens."""

    def __init__(self, note: dict[str, Any]):
        super().__init__(note)
        self.note = note


class Lock:
    """The right to open the shards in `directory`; held until the process ends or `release()`."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self._file = (directory / "owner").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note = _read_note(self._file)
            self._file.close()
            raise Taken(note) from None
        self.address = _address(directory)
        self.socket = socket.socket(socket.AF_UNIX)
        note = {"pid": os.getpid(), "command": " ".join(sys.argv)[:200], "address": self.address}
        self._file.truncate(0)
        self._file.write(json.dumps(note))
        self._file.flush()

    def release(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept()
        self.socket.close()
        Path(self.address).unlink(missing_ok=True)
        self._file.close()


def listen(lock: Lock, shards: Any) -> None:
    """Answer other processes' calls to `shards` until the lock is released, each connection in its own thread."""
    path = Path(lock.address)
    path.unlink(missing_ok=True)  # a killed owner's; the lock says that it is gone
    lock.socket.bind(lock.address)
    path.chmod(0o600)
    lock.socket.listen()
    threading.Thread(target=_accept, args=(lock.socket, shards), name="vector-owner", daemon=True).start()


def _accept(listening: socket.socket, shards: Any) -> None:
    while True:
        try:
            connection = Connection(listening.accept()[0].detach())
        except OSError:
            return  # released
        threading.Thread(target=_answer, args=(connection, shards), name="vector-call", daemon=True).start()


def _answer(connection: Connection, shards: Any) -> None:
    with connection:
        try:
            deliver_challenge(connection, _secret())
            answer_challenge(connection, _secret())
            while True:
                name, arguments = connection.recv()
                connection.send(_call(shards, name, arguments))
        except (EOFError, OSError):
            return
        except AuthenticationError:
            log.warning("a process without our SECRET_KEY asked for the vector store")


def _call(shards: Any, name: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    if name not in CALLS:
        return False, f"there is no call {name!r}"
    try:
        return True, getattr(shards, name)(*arguments)
    except VectorError as error:
        return False, str(error)


class OwnersShards:
    """The shards as another process sees them: the same methods, each a call to the owner."""

    def __init__(self, address: str):
        self._calling = threading.Lock()
        try:
            self._connection = Client(address, "AF_UNIX", authkey=_secret())
        except (OSError, EOFError, AuthenticationError) as error:
            raise OwnerGone(f"the owner of the vector store does not answer at {address}: {error!r}") from error

    def __getattr__(self, name: str) -> Any:
        if name not in CALLS:
            raise AttributeError(name)
        return functools.partial(self._ask, name)

    def _ask(self, name: str, *arguments: Any) -> Any:
        with self._calling:
            try:
                self._connection.send((name, arguments))
                if not self._connection.poll(ANSWER_SECONDS):
                    self._connection.close()  # a late answer must not be taken for the next one's
                    raise VectorError(f"the owner of the vector store gave no answer in {ANSWER_SECONDS} s")
                done, result = self._connection.recv()
            except (OSError, EOFError) as error:
                raise OwnerGone(f"the owner of the vector store is gone: {error!r}") from error
        if not done:
            raise VectorError(result)
        return result


def _read_note(file: Any) -> dict[str, Any]:
    """What the owner wrote about itself; it does so right after it took the lock."""
    for _ in range(20):
        file.seek(0)
        try:
            return json.loads(file.read())
        except ValueError:
            time.sleep(0.05)
    raise VectorError("the vector store's owner has left no note in its lock file")


def _address(directory: Path) -> str:
    beside = directory.absolute() / "owner.sock"
    if len(bytes(beside)) <= LONGEST_SOCKET_PATH:
        return str(beside)
    return str(Path(tempfile.mkdtemp(prefix="vectors-")) / "owner.sock")


def _secret() -> bytes:
    return salted_hmac("knowledge.vectors.owner", "socket", algorithm="sha256").digest()
