"""May a browser on this origin use a client's key? Parsed hosts and ports are compared, never strings."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

import idna
from django.core.exceptions import ValidationError

DEFAULT_PORT = {"http": 80, "https": 443}
ANY_PORT = 0
HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*")


@dataclass(frozen=True)
class Origin:
    """A browser's origin: scheme, IDNA-normalised lower-case host, explicit or default port."""

    scheme: str
    host: str
    port: int


def parse_origin(header: str | None) -> Origin | None:
    """An `Origin` or `Referer` header; None for `null`, an opaque or a malformed one."""
    text = (header or "").strip()
    if any(character <= " " for character in text):
        return None  # urlsplit() would drop tabs and newlines
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = normal_host(parts.hostname or "")
    if parts.scheme not in DEFAULT_PORT or not host or "@" in parts.netloc:
        return None
    return Origin(parts.scheme, host, port if port is not None else DEFAULT_PORT[parts.scheme])


def origin_allowed(origin: Origin, domains: list[str]) -> bool:
    """Does any pattern (`example.com`, `https://example.com`, `localhost:3000`, `*.example.com`) match?"""
    return any(pattern is not None and pattern.matches(origin) for pattern in map(_parse_pattern, domains))


def normal_host(host: str) -> str:
    """Lower case, punycode, no trailing dot, short IPv6; empty for what is neither a host name nor an address."""
    host = host.lower().removesuffix(".")
    try:
        return ip_address(host).compressed if "%" not in host else ""
    except ValueError:
        pass
    try:
        host = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return ""
    return host if len(host) <= 253 and HOST_NAME.fullmatch(host) else ""


def validate_domains(domains: object) -> None:
    """Model validator: a list of patterns, each with one host; `*` alone and white space are refused."""
    if not isinstance(domains, list) or not all(isinstance(entry, str) for entry in domains):
        raise ValidationError("Write the domains as a list of texts.")
    for entry in domains:
        if any(character.isspace() or ord(character) < 32 for character in entry) or _parse_pattern(entry) is None:
            raise ValidationError(
                "“%(entry)s” is not a domain such as example.com or *.example.com.", params={"entry": entry}
            )


@dataclass(frozen=True)
class _Pattern:
    """One entry of a list of domains. `scheme` None: either; `port` None: the scheme's default, ANY_PORT: all."""

    scheme: str | None
    host: str
    subdomains: bool
    port: int | None

    def matches(self, origin: Origin) -> bool:
        if self.scheme not in (None, origin.scheme):
            return False
        port = DEFAULT_PORT[origin.scheme] if self.port is None else self.port
        if port not in (ANY_PORT, origin.port):
            return False
        return origin.host.endswith("." + self.host) if self.subdomains else origin.host == self.host


@lru_cache(maxsize=100_000)  # of a list that is longer than this every entry would be parsed at every request
def _parse_pattern(pattern: str) -> _Pattern | None:
    scheme, separator, rest = pattern.rpartition("://")
    scheme = scheme.lower()
    any_port = rest.endswith(":*")
    subdomains = rest.startswith("*.")
    rest = rest.removesuffix(":*").removeprefix("*.").removesuffix("/")
    try:
        parts = urlsplit("//" + rest)
        port = parts.port
    except ValueError:
        return None
    host = normal_host(parts.hostname or "")
    if (separator and scheme not in DEFAULT_PORT) or not host or "@" in rest or rest != parts.netloc:
        return None
    if any_port and rest.rpartition("]")[2].count(":"):
        return None  # two ports
    return _Pattern(scheme or None, host, subdomains, ANY_PORT if any_port else port)
