"""Secrets that a laptop start lacks are made once and kept in `.env`, readable by its owner only."""

import os
import secrets
from pathlib import Path

GENERATED = ("SECRET_KEY", "INTERNAL_API_SECRET", "ADMIN_PASSWORD")


def ensure(env_file: Path) -> bool:
    """Append to `env_file` a random value for each name in GENERATED that the environment, into which the file was
    read, has not; were there any? Names that it has without a value are removed from it: the file is to be read again.
    """
    missing = [n for n in GENERATED if not os.environ.get(n, "").strip() and f"{n}_FILE" not in os.environ]
    if not missing:
        return False
    for name in missing:
        os.environ.pop(name, None)
    text = env_file.read_text(encoding="utf-8") if env_file.exists() else ""
    lines = "".join(f"{name}={secrets.token_urlsafe(16 if name == 'ADMIN_PASSWORD' else 48)}\n" for name in missing)
    if text and not text.endswith("\n"):
        lines = "\n" + lines
    descriptor = os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
        stream.write(lines)
    return True
