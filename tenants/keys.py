"""Mint, find and revoke keys.

A key is `pk_live_` (publishable) or `sk_live_` (secret), 32 random characters of base62 (190 bits) and a
6-character checksum, so that a mistyped or invented string is refused before any query. Only the
HMAC-SHA-256 of a key is stored.
"""

import hashlib
import hmac
import re
import secrets
import string
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from tenants.models import ApiKey
from tenants.scoping import client_scope, unscoped

ALPHABET = string.digits + string.ascii_letters
PREFIX_OF = {ApiKey.Kind.PUBLISHABLE: "pk_live_", ApiKey.Kind.SECRET: "sk_live_"}
SCOPES = ApiKey.SCOPES
SALT = "tenants.keys"
IN_TEXT = re.compile("[ps]k_live_[0-9A-Za-z]+")
RANDOM_LENGTH, CHECKSUM_LENGTH = 32, 6


def mint(
    client_id: uuid.UUID, kind: str, *, name: str = "", scopes: Iterable[str] = (), expires: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key and return its row and the key itself, which can't be had again.

    A secret key is good for `scopes`, of SCOPES; a publishable one for chat only. ValidationError for wrong scopes,
    another kind, or a name that is too long.
    """
    row = ApiKey(kind=kind, name=name, scopes=list(dict.fromkeys(scopes)), expires=expires)
    row.clean_fields(exclude=("client", "digest", "hint"))
    row.clean()
    body = PREFIX_OF[ApiKey.Kind(kind)] + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    key = body + _checksum(body)
    row.digest, row.hint = digests(key)[0], f"{key[:12]}…{key[-4:]}"
    with client_scope(client_id):
        row.save()
    return row, key


def find(digests: Sequence[str]) -> ApiKey | None:
    """The row with one of these digests, with its client, unless it is revoked or expired."""
    good = Q(expires=None) | Q(expires__gt=timezone.now())
    with unscoped("the key itself says which client calls"):
        row = ApiKey.objects.select_related("client").filter(good, digest__in=digests, revoked=None).first()
    matches = [hmac.compare_digest(row.digest, digest) for digest in digests] if row else []
    return row if any(matches) else None


def revoke(row: ApiKey) -> None:
    """Takes effect everywhere within the seconds that callers are remembered for (tenants/callers.py)."""
    with client_scope(row.client_id):
        ApiKey.objects.filter(pk=row.pk, revoked=None).update(revoked=timezone.now())


def rotate(row: ApiKey, overlap: timedelta, expires: datetime | None = None) -> tuple[ApiKey, str]:
    """A new key like `row`, which keeps working for `overlap` (or until it expires anyway, if that is sooner)."""
    end = timezone.now() + overlap
    with client_scope(row.client_id):
        new, key = mint(row.client_id, row.kind, name=row.name, scopes=row.scopes, expires=expires)
        ApiKey.objects.filter(Q(expires=None) | Q(expires__gt=end), pk=row.pk, revoked=None).update(expires=end)
    return new, key


def digests(key: str) -> tuple[str, ...]:
    """What is stored of a key: its HMAC with SECRET_KEY, then with each older one that still counts."""
    secrets_ = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return tuple(salted_hmac(SALT, key, secret=secret, algorithm="sha256").hexdigest() for secret in secrets_)


def struck_out(text: str) -> str:
    """The text without the keys in it."""
    return IN_TEXT.sub("[key]", text)


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
