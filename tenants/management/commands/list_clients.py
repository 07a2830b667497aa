"""`manage.py list_clients`: all clients with their keys, never a key itself."""

import json
import uuid
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from tenants.models import ApiKey, Client
from tenants.scoping import unscoped


class Command(BaseCommand):
    help = "List the clients, with the ids and hints of their keys."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON list, for scripts")

    def handle(self, *args: Any, **options: Any) -> None:
        clients = [_described(client, keys) for client, keys in _clients_with_keys()]
        if options["json"]:
            self.stdout.write(json.dumps(clients))
            return
        for client in clients:
            self.stdout.write(f"{client['clientId']}  {client['name']}  {client['tier']}, {client['status']}")
            for key in client["keys"]:
                described = f"{key['keyId']}  {key['hint']}  {key['kind']}  {key['name']}  {_state(key)}"
                self.stdout.write(f"    key {described}")


def _state(key: dict[str, Any]) -> str:
    if key["revoked"]:
        return "revoked"
    if not key["expires"]:
        return "active"
    past = datetime.fromisoformat(key["expires"]) <= timezone.now()
    return f"{'expired' if past else 'expires'} {key['expires']}"


def _clients_with_keys() -> list[tuple[Client, list[ApiKey]]]:
    of_client: dict[uuid.UUID, list[ApiKey]] = {}
    with unscoped("the operator lists every client"):
        for key in ApiKey.objects.order_by("pk"):
            of_client.setdefault(key.client_id, []).append(key)
    return [(client, of_client.get(client.pk, [])) for client in Client.objects.all()]


def _described(client: Client, keys: list[ApiKey]) -> dict[str, Any]:
    return {
        "clientId": str(client.pk),
        "name": client.name,
        "tier": client.tier,
        "status": client.status,
        "domains": client.allowed_domains,
        "keys": [
            {
                "keyId": key.pk,
                "hint": key.hint,
                "kind": key.kind,
                "name": key.name,
                "scopes": key.scopes,
                "lastUsed": _iso(key.last_used),
                "expires": _iso(key.expires),
                "revoked": _iso(key.revoked),
            }
            for key in keys
        ],
    }


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
