"""`manage.py check_invariants`: is everything as it must always be?"""

import json
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from billing import invariants as billing
from chat import invariants as chat
from knowledge import invariants as knowledge
from knowledge.management.arguments import client_id
from knowledge.vectors import VectorError
from tenants import invariants as tenants
from tenants.invariants import Violation
from tenants.models import Client

APPS = (tenants, billing, knowledge, chat)
ROWS = [check for app in APPS for check in app.ROWS]
OUTSIDE = [check for app in APPS for check in app.OUTSIDE]
OVERALL = [check for app in APPS for check in app.OVERALL]
# Seconds. Vectors, files and Redis can't be seen in the same moment as the rows; some things heal within two.
SECOND_LOOK = 3.0


class Command(BaseCommand):
    help = (
        "Compare rows, ledger, invoices, counters, vectors and files with one another. Prints nothing and exits 0 "
        "when all is as it must be; else one line a violation (code, client, object; never content) and exit code 1. "
        "May run beside the product: what looks wrong is looked at twice. Changes nothing; check_index --repair and "
        "rebuild_usage put right what can be put right."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--client", type=client_id, metavar="ID", help="only this client (its clientId)")
        parser.add_argument("--json", action="store_true", help="print each violation as a JSON object")

    def handle(self, *args: Any, client: str | None, **options: Any) -> None:
        clients = list(Client.objects.order_by("pk").values_list("pk", flat=True))
        if client:
            clients = [pk for pk in clients if str(pk) == client]
            if not clients:
                raise CommandError("There is no such client.")
        try:
            found = _violations(clients, overall=client is None)
        except VectorError as error:
            raise CommandError(str(error)) from error
        for violation in sorted(found):
            self.stdout.write(_as_json(violation) if options["json"] else str(violation))
        if found:
            sys.exit(1)


def _violations(clients: list[uuid.UUID], overall: bool) -> set[Violation]:
    """What was wrong at two looks."""
    found = set(_look(clients, overall))
    if not found:
        return found
    time.sleep(SECOND_LOOK)
    suspects = {violation.client_id for violation in found}
    return found & set(_look([pk for pk in clients if str(pk) in suspects], overall))


def _look(clients: list[uuid.UUID], overall: bool) -> Iterator[Violation]:
    for pk in tqdm(clients, unit="client", disable=None, leave=False):
        yield from tenants.check_rows(pk, ROWS)
        yield from tenants.check_outside(pk, OUTSIDE)
    for check in OVERALL if overall else ():
        yield from check()


def _as_json(violation: Violation) -> str:
    return json.dumps(
        {"code": violation.code, "clientId": violation.client_id or None, "object": violation.object or None}
    )
