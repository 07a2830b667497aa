"""`manage.py revoke_key`: a key stops working within two seconds."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants import keys
from tenants.management.lookup import key_named


class Command(BaseCommand):
    help = "Revoke a key for ever; it stops working within two seconds, running answers included."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", help="the id that list_clients shows, or the key itself")
        parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")

    def handle(self, *args: Any, key: str, **options: Any) -> None:
        row = key_named(key)
        keys.revoke(row)
        if options["json"]:
            self.stdout.write(json.dumps({"keyId": row.pk, "clientId": str(row.client_id), "revoked": True}))
        else:
            self.stdout.write(f"Revoked key {row.pk} ({row.hint}).")
