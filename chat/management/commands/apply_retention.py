"""`manage.py apply_retention`: delete what clients no longer want kept, now instead of tonight."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from tqdm import tqdm

from chat.retention.apply import apply, would_delete
from tenants.management.lookup import client_named
from tenants.models import Client


class Command(BaseCommand):
    help = (
        "Delete the conversations that are older than their client's retention rule says. Clients without a rule "
        "keep everything; bills and the audit are always kept. The same runs by itself after each client's midnight."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--client", metavar="ID", help="only this client (its id or name)")
        parser.add_argument("--dry-run", action="store_true", help="count what would be deleted, and delete nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object a client, for scripts")

    def handle(self, *args: Any, client: str | None, dry_run: bool, **options: Any) -> None:
        clients = [client_named(client)] if client else list(Client.objects.order_by("name", "pk"))
        now = timezone.now()
        with tqdm(desc="Deleting", unit="row", disable=True if dry_run else None, leave=False) as bar:
            for each in clients:
                counts = would_delete(each.pk, now) if dry_run else apply(each.pk, now, bar.update)
                self._print(each, counts, "would be deleted" if dry_run else "deleted", options["json"])

    def _print(self, client: Client, counts: dict[str, int], verb: str, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"clientId": str(client.pk), "name": client.name, "rows": counts}))
        else:
            rows = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            self.stdout.write(f"{client.name}: {rows or 'nothing'} {verb}")
