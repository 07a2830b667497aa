"""A TCP proxy on this machine that can be cut, hung and slowed, in front of whatever the product connects to."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

from tests.services import free_port

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, as a killed server's kernel does
Target = tuple[str, int] | str  # an address, or the path of a Unix socket


class Proxy:
    """Forwards, until it is told to do something else; `heal()` ends that."""

    def __init__(self, target: Target):
        self.target = target
        self.port = free_port()
        self.delay = 0.0
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._listen()

    def cut(self) -> None:
        """As if the server had been killed: every connection is reset, new ones are refused."""
        listener, self._listener = self._listener, None
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.reset()

    def reset(self) -> None:
        """Every connection is reset; new ones are taken."""
        with self._lock:
            pairs, self._open = self._open, set()
        for end in pairs:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def hang(self) -> None:
        """As if the server had been stopped: connections stay, new ones are taken, nothing is answered."""
        self._flowing.clear()

    def slow(self, seconds: float) -> None:
        """Each piece of data waits so long."""
        self.delay = seconds

    def heal(self) -> None:
        self.delay = 0.0
        self._flowing.set()
        if self._listener is None:
            self._listen()

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # cut
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._flowing.wait()
        try:
            if isinstance(self.target, str):
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.target)
            else:
                far = socket.create_connection(self.target)
        except OSError:
            near.close()
            return
        with self._lock:
            self._open |= {near, far}
        threading.Thread(target=self._pump, args=(near, far), daemon=True).start()
        threading.Thread(target=self._pump, args=(far, near), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._flowing.wait()
                if self.delay:
                    time.sleep(self.delay)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open -= {source, sink}


@contextlib.contextmanager
def proxy(target: Target) -> Iterator[Proxy]:
    between = Proxy(target)
    try:
        yield between
    finally:
        between.heal()
        between.cut()
