"""The environment, read strictly: what a setting can't mean is refused by its name, where django-environ guesses
(`PRODUCTION=enabled` would be off, `LLM_TOTAL_TIMEOUT=2m` two seconds, `a.example, b.example` a host with a space)."""

import math
from collections.abc import Callable
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

SWITCH = {**dict.fromkeys(("1", "true", "on", "yes"), True), **dict.fromkeys(("0", "false", "off", "no"), False)}


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _list(text: str) -> list[str]:
    return [entry for entry in map(str.strip, text.split(",")) if entry]


READ: dict[Any, tuple[Callable[[str], Any], str]] = {
    bool: (lambda text: SWITCH[text.lower()], "1 or 0"),
    int: (int, "a whole number"),
    float: (_number, "a number"),
    list: (_list, "a list"),
}


class _Trimmed(FileAwareMapping):
    """`NAME`, or what the file `NAME_FILE` holds. An editor and `echo` end it with a line break, which would be part of
    a secret, an address or a token that nobody could send."""

    def __getitem__(self, key: str) -> str:
        value: str = super().__getitem__(key)
        return value if key == "SECRET_KEY" else value.strip()  # keys were made with that one as it was read


class Environment(environ.FileAwareEnv):
    """A name with `_FILE` appended reads the value from that file. An empty value counts as none."""

    ENVIRON = _Trimmed()

    def get_value(
        self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, parse_default: bool = False
    ) -> Any:
        """The value, or `default`; ImproperlyConfigured with the setting's name for what is none."""
        text = super().get_value(var, str, "").strip()
        if not text and default is not self.NOTSET:
            return default
        if cast not in READ:
            return super().get_value(var, cast, default, parse_default)
        read, what = READ[cast]
        try:
            return read(text)
        except (KeyError, ValueError):
            raise ImproperlyConfigured(f"{var} is {what}, not “{text}”.") from None
