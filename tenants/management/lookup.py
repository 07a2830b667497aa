"""What an operator names on the command line, turned into rows."""

import uuid

from django.core.management.base import CommandError

from tenants import keys
from tenants.models import ApiKey, Client
from tenants.scoping import unscoped


def client_named(text: str) -> Client:
    """By id, or by a name that only one client has; CommandError otherwise."""
    try:
        found = list(Client.objects.filter(pk=uuid.UUID(text)))
    except ValueError:
        found = list(Client.objects.filter(name=text)[:2])
    if len(found) != 1:
        raise CommandError(f"{'No' if not found else 'More than one'} client is called {text}: see list_clients.")
    return found[0]


def key_named(text: str) -> ApiKey:
    """By the id that list_clients shows, or by the key itself; CommandError otherwise."""
    wanted = {"pk": int(text)} if text.isascii() and text.isdigit() else {"digest__in": keys.digests(text)}
    with unscoped("the operator names a key, not its client"):
        row = ApiKey.objects.filter(**wanted).first()
    if row is None:
        raise CommandError("There is no such key: see list_clients for the ids.")
    return row
