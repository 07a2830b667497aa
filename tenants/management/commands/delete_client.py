"""`manage.py delete_client`: a client's last job, which ends with a receipt."""

import json
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.erasure import request_erasure, run
from tenants.management.lookup import client_named
from tenants.models import Client, Erasure


class Command(BaseCommand):
    help = (
        "Switch a client off and erase all that is its: rows, vectors, files, caches. The books stay, without "
        "content. Run it again with the id for the receipt."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("client", help="the client's id or name; its id, for the receipt of an erased one")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--now", action="store_true", help="erase in this process rather than in a worker")
        parser.add_argument("--json", action="store_true", help="print the receipt as one JSON object")

    def handle(self, *args: Any, client: str, **options: Any) -> None:
        erasure = _known(client) or self._begin(client, options)
        if not erasure.finished:
            erasure = run(erasure, here=options["now"])
        receipt = erasure.receipt()
        if options["json"]:
            self.stdout.write(json.dumps(receipt))
        elif erasure.finished is None:
            self.stdout.write("Switched off; a worker erases it. Run this again for the receipt.")
        else:
            for name, count in receipt["before"].items():
                self.stdout.write(f"{name}: {count} before, {receipt['after'][name]} after")
            self.stdout.write(
                "".join(f"kept of the books: {name} {count}\n" for name, count in receipt["kept"].items())
            )

    def _begin(self, named: str, options: dict[str, Any]) -> Erasure:
        client = client_named(named)
        if not options["yes"] and not _confirmed(client):
            raise CommandError("Nothing was deleted.")
        return request_erasure(client.pk)


def _confirmed(client: Client) -> bool:
    try:
        return input(f"Erase {client.name} ({client.pk}) for ever? Type its name: ") == client.name
    except EOFError:
        return False


def _known(named: str) -> Erasure | None:
    try:
        return Erasure.objects.filter(pk=uuid.UUID(named)).first()
    except ValueError:
        return None
