"""`manage.py serve`: everything a laptop needs, in one process."""

import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import check_password
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from tqdm import tqdm

from config.demo import QUESTION, load_demo
from config.management.arguments import port_number
from knowledge import queue
from knowledge.vectors import VectorStoreTaken, embedded

PATIENCE_SECONDS = 30


class Command(BaseCommand):
    help = "Migrate, load the demo client, and serve in the foreground. Ctrl-C stops everything."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=port_number, default=8000, help="port to listen on (default: %(default)s)")
        parser.add_argument("--no-demo", action="store_true", help="do not make the demo client and its documents")

    def handle(self, *args: Any, host: str, port: int, no_demo: bool, **options: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the server is there: an exception can be lost in the start
        call_command("migrate", verbosity=0)
        lets_in = self._ensure_admin()
        key = None if no_demo else load_demo()
        self._serve(host, port, key, lets_in)

    def _ensure_admin(self) -> Future[bool]:
        """Is ADMIN_PASSWORD still the password of the first user? Half a second's work, beside the start."""
        users = get_user_model().objects
        admin = users.filter(username="admin").first()
        if admin is None and settings.ADMIN_PASSWORD:
            admin = users.create_superuser("admin", password=settings.ADMIN_PASSWORD)
        checks = ThreadPoolExecutor(1)
        return checks.submit(check_password, settings.ADMIN_PASSWORD, admin.password if admin else "")

    def _banner(self, url: str, key: str | None, lets_in: Future[bool]) -> None:
        password = f"password {settings.ADMIN_PASSWORD}" if lets_in.result() else "the password that you chose"
        lines = ["", f"  Admin      {url}/admin/  (user admin, {password})"]
        if key:
            lines.insert(1, f"  Demo page  {url}/")
            lines += [
                f"  Widget key {key}",
                "",
                f"  curl -s {url}/api/widget/chat -H 'x-api-key: {key}' -H 'Content-Type: application/json' \\",
                f'    -d \'{{"message": "{QUESTION}"}}\'',
            ]
        self.stdout.write("\n".join([*lines, "", "  Ctrl-C stops everything.", ""]))
        self.stdout.flush()

    def _serve(self, host: str, port: int, key: str | None, lets_in: Future[bool]) -> None:
        from config.server import WebServer

        try:
            from config.asgi import application
        except VectorStoreTaken as taken:
            raise CommandError(str(taken)) from taken
        _wait_for_documents()
        url = f"http://{host}:{port}"
        if not {"PUBLIC_URL", "PUBLIC_URL_FILE"} & os.environ.keys():  # what pages embed and mails link
            settings.PUBLIC_URL = url
        server = WebServer(application, host, port, lambda: self._banner(url, key, lets_in))
        server.run()
        if server.abort_start:
            raise CommandError(f"Port {port} is taken. Choose another: make run PORT=…")
        embedded.release()
        self.stdout.flush()
        os._exit(0)  # the ingestion thread may be in native code, which aborts when an interpreter ends around it


def _wait_for_documents() -> None:
    """A moment for what was uploaded (the demo's documents at the first start), so that the first question is
    answered from all of it. With a Qdrant server the workers ingest, and nobody waits for them."""
    waiting = _depth() if settings.EMBEDDED else 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    with tqdm(
        total=waiting, desc="Reading documents", unit="document", disable=None if waiting else True, leave=False
    ) as bar:
        while waiting and (left := _depth()) and time.monotonic() < deadline:
            bar.update(waiting - left - bar.n)
            time.sleep(0.1)


def _depth() -> int:
    try:
        return queue.depth()
    except OperationalError:  # a busy machine's database is locked: that is no reason not to start
        return 0
