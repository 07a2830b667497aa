"""The environment as the settings read it: no value begins or ends with white space that somebody left there."""

from typing import Any

import environ
from environ.fileaware_mapping import FileAwareMapping


class _Trimmed(FileAwareMapping):
    """`NAME`, or what the file `NAME_FILE` holds. An editor and `echo` end it with a line break, which would be part of
    a secret, an address or a token that nobody could send."""

    def __getitem__(self, key: str) -> str:
        value: str = super().__getitem__(key)
        return value if key == "SECRET_KEY" else value.strip()  # keys were made with that one as it was read


class Environment(environ.FileAwareEnv):
    """Lists are written with commas, and with spaces if one likes."""

    ENVIRON = _Trimmed()

    def list(self, *args: Any, **kwargs: Any) -> list[str]:
        entries = (entry.strip() for entry in super().list(*args, **kwargs))
        return [entry for entry in entries if entry]
