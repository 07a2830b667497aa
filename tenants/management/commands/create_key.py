"""`manage.py create_key`: another key, or a successor of one."""

import json
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tenants import keys
from tenants.management.lookup import client_named, key_named
from tenants.models import ApiKey


class Command(BaseCommand):
    help = (
        "Create a key for a client; it is shown this once. With --replaces, a successor of a key: "
        "the old one keeps working for --overlap-hours, so that both can be in use while the new one is rolled out."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--client", metavar="ID", help="the client's id or name")
        whose.add_argument(
            "--replaces", metavar="KEY", help="an older key (its id or itself): same client, kind, scopes"
        )
        parser.add_argument("--kind", choices=ApiKey.Kind.values, default=ApiKey.Kind.PUBLISHABLE)
        parser.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=keys.SCOPES,
            dest="scopes",
            help="what a secret key is for; repeat for more (a publishable key is for chat)",
        )
        parser.add_argument("--name", default="", help="what the key is for, for people")
        parser.add_argument("--expires-days", type=float, metavar="N", help="stop working after N days; default: never")
        parser.add_argument("--overlap-hours", type=float, default=24, metavar="N", help="default: %(default)s")
        parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            row, key = self._made(options)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        made = {
            "keyId": row.pk,
            "clientId": str(row.client_id),
            "kind": row.kind,
            "scopes": row.scopes,
            "expires": row.expires.isoformat() if row.expires else None,
            "key": key,
        }
        self.stdout.write(json.dumps(made) if options["json"] else f"Key {row.pk} ({row.kind}), shown this once: {key}")

    def _made(self, options: dict[str, Any]) -> tuple[ApiKey, str]:
        if options["replaces"]:
            return keys.rotate(key_named(options["replaces"]), timedelta(hours=options["overlap_hours"]))
        days = options["expires_days"]
        expires = None if days is None else timezone.now() + timedelta(days=days)
        client = client_named(options["client"])
        return keys.mint(client.pk, options["kind"], name=options["name"], scopes=options["scopes"], expires=expires)
