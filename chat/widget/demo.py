"""The demo client's publishable key, which the demo page shows as any customer's page would.

Keys are stored as digests only, so whoever makes the demo client leaves its publishable key here.
"""

from pathlib import Path

from django.conf import settings

from tenants import keys
from tenants.models import ApiKey


def remember_key(key: str) -> None:
    """Keep the demo client's publishable key for the demo page."""
    _file().write_text(key, encoding="utf-8")


def current_key() -> str | None:
    """The remembered key while it is valid; None without a demo client or after its key was revoked."""
    try:
        key = _file().read_text(encoding="utf-8").strip()
    except OSError:
        return None
    row = keys.find(keys.digests(key))
    return key if row is not None and row.kind == ApiKey.Kind.PUBLISHABLE else None


def _file() -> Path:
    return settings.DATA_DIR / "demo-key"
