"""`manage.py web`: the web process in production."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Serve in the foreground. SIGTERM lets running answers finish."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        from config import preload
        from config.asgi import application
        from config.server import WebServer

        preload.wait()
        server = WebServer(application, host, port, lambda: None)
        server.run()
        if server.abort_start:
            raise CommandError(f"Port {port} is taken.")
