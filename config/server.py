"""The web process: Daphne, and an end that loses no answer.

SIGTERM or SIGINT: the port is closed, running answers get settings.SHUTDOWN_SECONDS to finish, followers of what is
left are told to go on elsewhere, and every answer's row is completed. A second signal ends the process at once.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import structlog
from daphne.server import Server
from django.conf import settings
from twisted.internet import reactor as twisted_reactor
from twisted.internet.endpoints import quoteStringArgument

from config import metrics
from tenants import threads, tracing

reactor: Any = twisted_reactor
log = structlog.get_logger(__name__)
ROWS_SECONDS = 2.0  # for rows that are being written at the end; what is cut is completed by another process


class WebServer(Server):
    """Daphne with a graceful end."""

    def __init__(self, application: Any, host: str, port: int, ready: Callable[[], None]):
        endpoint = f"tcp:port={port}:interface={quoteStringArgument(host)}:backlog=2048"
        super().__init__(application, endpoints=[endpoint], signal_handlers=False, ready_callable=ready)
        self.ports: list[Any] = []
        self.ending: asyncio.Task | None = None

    def run(self) -> None:
        metrics.listen()
        reactor.callWhenRunning(self._at_start)
        super().run()
        threads.finish(ROWS_SECONDS)
        tracing.end()

    def listen_success(self, port: Any) -> None:
        self.ports.append(port)
        super().listen_success(port)

    def _at_start(self) -> None:
        from chat import caretaker

        loop = asyncio.get_event_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.call_soon(caretaker.start)

    def _on_signal(self) -> None:
        if self.ending is None:
            self.ending = asyncio.ensure_future(self._end())
        else:
            reactor.stop()

    async def _end(self) -> None:
        from chat import shutdown

        log.info("stopping: running answers may finish", seconds=settings.SHUTDOWN_SECONDS)
        for port in self.ports:
            port.stopListening()
        try:
            await shutdown.finish(settings.SHUTDOWN_SECONDS, self._requests)
        except Exception as error:
            log.error("the end was not an orderly one", exc_info=error)
        reactor.stop()

    def _requests(self) -> list[asyncio.Future]:
        """Responses under way, and open WebSockets."""
        found = [details.get("application_instance") for details in self.connections.values()]
        return [future for future in found if future is not None and not future.done()]
