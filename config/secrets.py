"""Secrets that a laptop start lacks are made once and kept in `.env`, readable by its owner only."""

import os
import secrets
from pathlib import Path

GENERATED = ("SECRET_KEY", "INTERNAL_API_SECRET", "ADMIN_PASSWORD")


def ensure(env_file: Path) -> None:
    """Append to `env_file` a random value for each name in GENERATED that neither it nor the environment has."""
    text = env_file.read_text(encoding="utf-8") if env_file.exists() else ""
    present = {line.split("=", 1)[0].strip() for line in text.splitlines() if line.partition("=")[2].strip()}
    missing = [n for n in GENERATED if n not in present and n not in os.environ and f"{n}_FILE" not in os.environ]
    if not missing:
        return
    lines = "".join(f"{name}={secrets.token_urlsafe(16 if name == 'ADMIN_PASSWORD' else 48)}\n" for name in missing)
    if text and not text.endswith("\n"):
        lines = "\n" + lines
    descriptor = os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
        stream.write(lines)
