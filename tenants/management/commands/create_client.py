"""`manage.py create_client`: a new client and its first publishable key."""

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from tenants import keys
from tenants.models import ApiKey, Client


class Command(BaseCommand):
    help = "Create a client and its first publishable key, which is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="what support staff call it")
        parser.add_argument("--tier", choices=Client.Tier.values, default=Client.Tier.FREE, help="default: %(default)s")
        parser.add_argument(
            "--domain",
            action="append",
            default=[],
            metavar="D",
            dest="domains",
            help="where the widget may run, such as example.com or *.example.com; repeat for more. "
            "A paid client without one may use it anywhere; a free one always uses it on the dashboard only",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")

    def handle(self, *args: Any, name: str, tier: str, domains: list[str], **options: Any) -> None:
        client = Client(name=name.strip(), tier=tier, allowed_domains=domains)
        try:
            client.full_clean()
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        with transaction.atomic():
            client.save()
            _, key = keys.mint(client.pk, ApiKey.Kind.PUBLISHABLE, name="first")
        made = {
            "clientId": str(client.pk),
            "name": client.name,
            "tier": tier,
            "domains": domains,
            "publishableKey": key,
        }
        if options["json"]:
            self.stdout.write(json.dumps(made))
        else:
            self.stdout.write(f"Client {client.pk} ({client.name}, {tier})\nPublishable key, shown this once: {key}")
