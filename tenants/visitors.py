"""Proof that a visitor is the one who started a session: an HMAC bound to the client and the session.

A session's id may be known to others (logs, a shared page); only who got the first answer has its token.
"""

import hmac
import uuid

from django.conf import settings
from django.utils.crypto import salted_hmac

SALT = "tenants.visitors"


def session_token(client_id: uuid.UUID, session_id: uuid.UUID) -> str:
    """64 hexadecimal characters; the same for the same client and session, so it need not be stored."""
    return _token(client_id, session_id, settings.SECRET_KEY)


def check_session_token(client_id: uuid.UUID, session_id: uuid.UUID, token: str | None) -> bool:
    """Is this the session's token? Compared in constant time; tokens made with an older SECRET_KEY still count."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    matches = [hmac.compare_digest((token or "").encode(), _token(client_id, session_id, s).encode()) for s in secrets]
    return any(matches)


def _token(client_id: uuid.UUID, session_id: uuid.UUID, secret: str) -> str:
    return salted_hmac(SALT, f"{client_id}/{session_id}", secret=secret, algorithm="sha256").hexdigest()
