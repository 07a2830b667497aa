"""`python -m tests`: every check, then every test. Arguments go to pytest."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
PRODUCTION = {
    "PRODUCTION": "1",
    "ENV_FILE": "/dev/null",
    "SECRET_KEY": secrets.token_urlsafe(64),
    "INTERNAL_API_SECRET": secrets.token_urlsafe(48),
    "DATABASE_URL": "postgres://app@localhost/app",
    "REDIS_URL": "redis://localhost:6379/0",
    "QDRANT_URL": "http://localhost:6333",
    "PUBLIC_URL": "https://chat.example.com",
    "ALLOWED_HOSTS": "chat.example.com",
}
CHECKS: list[tuple[str, list[str], dict[str, str]]] = [
    ("lint", ["ruff", "check", "."], {}),
    ("format", ["ruff", "format", "--check", "."], {}),
    ("import order", ["lint-imports"], {}),
    ("types", ["mypy"], {}),
    ("migrations", ["python", "manage.py", "makemigrations", "--check", "--dry-run"], {}),
    ("production settings", ["python", "manage.py", "check", "--deploy", "--fail-level", "WARNING"], PRODUCTION),
]
# A process for each core (each with a PostgreSQL and a Redis of its own); the tests of a file share what they set up.
AT_ONCE = ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile", "--no-loadscope-reorder", "--durations", "20"]


def main() -> int:
    failed = [name for name, command, environment in CHECKS if not _passes(name, command, environment)]
    tests = subprocess.run([BIN / "pytest", *AT_ONCE, *sys.argv[1:]], check=False).returncode
    if failed:
        print(f"Failed before the tests: {', '.join(failed)}")
    return 1 if failed else tests


def _passes(name: str, command: list[str], environment: dict[str, str]) -> bool:
    program, *arguments = command
    result = subprocess.run(
        [BIN / program, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(f"{name}: {'ok' if result.returncode == 0 else 'FAILED'}", flush=True)
    if result.returncode:
        print(result.stdout, flush=True)
    return result.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
