"""What a page shows once, after a redirect: it waits, sealed, in the session of the person who asked for it.

Only the session's row holds it, never an address or a cookie, and a dump of the database opens nothing.
"""

import base64
from contextlib import suppress
from typing import Any

from django.http import HttpRequest
from django.utils.crypto import salted_hmac

NAME = "shown_once"  # in the session: {what it is of: the sealed text}
WAITS = 300  # seconds for the page that shows it to be asked for; it comes by itself at once


def keep(request: HttpRequest, about: object, text: str) -> None:
    """Put `text` away for `take`; what nobody came for in time is dropped."""
    waiting = {key: sealed for key, sealed in request.session.get(NAME, {}).items() if _opened(sealed)}
    request.session[NAME] = {**waiting, str(about): _fernet().encrypt(text.encode()).decode()}


def take(request: HttpRequest, about: object) -> str:
    """What was kept, this one time; empty when it was shown already, or nobody came for it in time."""
    waiting = dict(request.session.get(NAME, {}))
    sealed = waiting.pop(str(about), "")
    if sealed:
        request.session[NAME] = waiting
    return _opened(sealed)


def _opened(sealed: str) -> str:
    from cryptography.fernet import InvalidToken

    with suppress(InvalidToken):
        return _fernet().decrypt(sealed, WAITS).decode()
    return ""


def _fernet() -> Any:
    from cryptography.fernet import Fernet  # megabytes that most processes never need

    secret = salted_hmac("tenants.shown_once", "", algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(secret))
