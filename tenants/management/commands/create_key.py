"""`manage.py create_key`: another key, or a successor of one."""

import argparse
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tenants import keys
from tenants.management.lookup import client_named, key_named
from tenants.models import ApiKey

MOST_DAYS = 36_500


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
        parser.add_argument("--kind", choices=ApiKey.Kind.values, help="default: publishable")
        parser.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=keys.SCOPES,
            dest="scopes",
            help="what a secret key is for; repeat for more (a publishable key is for chat)",
        )
        parser.add_argument("--name", default="", help="what the key is for, for people")
        parser.add_argument(
            "--expires-days", type=_up_to(MOST_DAYS), metavar="N", help="stop working after N days; default: never"
        )
        parser.add_argument("--overlap-hours", type=_up_to(24 * MOST_DAYS), metavar="N", help="default: 24")
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
        days, overlap = options["expires_days"], options["overlap_hours"]
        expires = None if days is None else timezone.now() + timedelta(days=days)
        if options["replaces"]:
            if options["kind"] or options["scopes"] or options["name"]:
                raise CommandError("A successor has its predecessor's kind, scopes and name: leave those out.")
            old = key_named(options["replaces"])
            return keys.rotate(old, timedelta(hours=24 if overlap is None else overlap), expires)
        if overlap is not None:
            raise CommandError("Only with --replaces are there two keys that overlap.")
        kind, client = options["kind"] or ApiKey.Kind.PUBLISHABLE, client_named(options["client"])
        return keys.mint(client.pk, kind, name=options["name"], scopes=options["scopes"], expires=expires)


def _up_to(most: int) -> Callable[[str], float]:
    """The type of an argument: a span of time that still ends in a year that dates have."""

    def number(text: str) -> float:
        if not 0 <= (value := float(text)) <= most:  # nor what is no number
            raise argparse.ArgumentTypeError(f"{text} is not between 0 and {most:,}")
        return value

    return number
