"""`manage.py web`: the web process in production."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.management.arguments import port_number
from knowledge.vectors import VectorStoreTaken


class Command(BaseCommand):
    help = "Serve in the foreground. SIGTERM lets running answers finish."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=port_number, default=8000, help="port to listen on (default: %(default)s)")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the server is there: an exception can be lost in the start
        from config import preload
        from config.server import WebServer

        try:
            from config.asgi import application
        except VectorStoreTaken as taken:
            raise CommandError(str(taken)) from taken
        preload.wait()
        server = WebServer(application, host, port, lambda: None)
        server.run()
        if server.abort_start:
            raise CommandError(f"Port {port} is taken.")
