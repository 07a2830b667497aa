"""A TCP proxy on localhost whose line can be cut, or go silent."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Wire:
    """Passes bytes between its port and a server; `silent` swallows them, `cut()` refuses and resets."""

    def __init__(self, host: str, port: int):
        self.target = (host, port)
        self.silent = False
        self._open: list[socket.socket] = []
        self._listen(0)

    def cut(self) -> None:
        self._listener.close()
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def mend(self) -> None:
        self._listen(self.port)

    def _listen(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.silent:
                    sink.sendall(data)


@contextlib.contextmanager
def wire(host: str, port: int) -> Iterator[Wire]:
    line = Wire(host, port)
    try:
        yield line
    finally:
        line.cut()
