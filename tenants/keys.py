"""Mint, find and revoke keys.

A key is `pk_live_` (publishable) or `sk_live_` (secret), 32 random characters of base62 (190 bits) and a
6-character checksum, so that a mistyped or invented string is refused before any query. Only the
HMAC-SHA-256 of a key is stored.
"""

import hashlib
import hmac
import secrets
import string
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from tenants.models import ApiKey
from tenants.scoping import client_scope, unscoped

ALPHABET = string.digits + string.ascii_letters
PREFIX_OF = {ApiKey.Kind.PUBLISHABLE: "pk_live_", ApiKey.Kind.SECRET: "sk_live_"}
SCOPES = ("chat", "documents", "usage")
RANDOM_LENGTH, CHECKSUM_LENGTH = 32, 6


def mint(client_id, kind: str, *, name: str = "", scopes=(), expires: datetime | None = None) -> tuple[ApiKey, str]:
    """Make a key and return its row and the key itself, which can't be had again. ValueError for an unknown scope."""
    unknown = set(scopes) - set(SCOPES)
    if unknown:
        raise ValueError(f"unknown scope: {', '.join(sorted(unknown))}")
    body = PREFIX_OF[ApiKey.Kind(kind)] + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    key = body + _checksum(body)
    with client_scope(client_id):
        row = ApiKey.objects.create(
            kind=kind, name=name, digest=digest(key), hint=f"{key[:12]}…{key[-4:]}", scopes=list(scopes), expires=expires
        )
    return row, key


def find(key: str) -> ApiKey | None:
    """The row of a well-formed key that is neither revoked nor expired, with its client."""
    if not well_formed(key):
        return None
    with unscoped("the key itself says which client calls"):
        row = ApiKey.objects.select_related("client").filter(digest=digest(key)).first()
    if row is None or row.revoked or (row.expires and row.expires <= timezone.now()):
        return None
    return row


def revoke(row: ApiKey) -> None:
    """Takes effect everywhere within the seconds that callers are remembered for (tenants/callers.py)."""
    with client_scope(row.client_id):
        ApiKey.objects.filter(pk=row.pk, revoked=None).update(revoked=timezone.now())


def digest(key: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), key.encode(), hashlib.sha256).hexdigest()


def well_formed(key: str) -> bool:
    """Right prefix, length and checksum; costs no query."""
    length = len("pk_live_") + RANDOM_LENGTH + CHECKSUM_LENGTH
    if len(key) != length or not key.startswith(tuple(PREFIX_OF.values())) or not key.isascii():
        return False
    body, checksum = key[:-CHECKSUM_LENGTH], key[-CHECKSUM_LENGTH:]
    return hmac.compare_digest(_checksum(body), checksum)


def _checksum(body: str) -> str:
    number = int.from_bytes(hashlib.sha256(body.encode()).digest()[:8], "big")
    letters = []
    for _ in range(CHECKSUM_LENGTH):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return "".join(letters)
