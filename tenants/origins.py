"""May a browser on this origin use a client's key? Parsed hosts and ports are compared, never strings."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import idna
from django.core.exceptions import ValidationError

DEFAULT_PORT = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Origin:
    """A browser's origin: scheme, IDNA-normalised lower-case host, explicit or default port."""

    scheme: str
    host: str
    port: int


def parse_origin(header: str | None) -> Origin | None:
    """An `Origin` or `Referer` header; None for `null`, an opaque or a malformed one."""
    try:
        parts = urlsplit((header or "").strip())
        port = parts.port
    except ValueError:
        return None
    host = normal_host(parts.hostname or "")
    if parts.scheme not in DEFAULT_PORT or not host or parts.username is not None or parts.password is not None:
        return None
    return Origin(parts.scheme, host, port if port is not None else DEFAULT_PORT[parts.scheme])


def origin_allowed(origin: Origin, domains: list[str]) -> bool:
    """Does any pattern (`example.com`, `https://example.com`, `localhost:3000`, `*.example.com`) match?"""
    return any(_matches(origin, pattern) for pattern in domains)


def normal_host(host: str) -> str:
    """Lower case, punycode, no trailing dot; empty for what is no host name."""
    host = host.lower().removesuffix(".")
    if not host or ":" in host or host.replace(".", "").isdigit():
        return host  # an address stays as it is
    try:
        return idna.encode(host, uts46=True).decode() if not host.isascii() else host
    except idna.IDNAError:
        return ""


def validate_domains(domains: object) -> None:
    """Model validator: a list of patterns, each with one host; `*` alone and white space are refused."""
    if not isinstance(domains, list) or not all(isinstance(entry, str) for entry in domains):
        raise ValidationError("Write the domains as a list of texts.")
    for entry in domains:
        if any(character.isspace() or ord(character) < 32 for character in entry) or _parse_pattern(entry) is None:
            raise ValidationError(
                "“%(entry)s” is not a domain such as example.com or *.example.com.", params={"entry": entry}
            )


def _matches(origin: Origin, pattern: str) -> bool:
    parsed = _parse_pattern(pattern)
    if parsed is None:
        return False
    scheme, host, port = parsed
    if scheme and scheme != origin.scheme:
        return False
    if port == "*":
        pass
    elif port:
        if int(port) != origin.port:
            return False
    elif origin.port != DEFAULT_PORT[origin.scheme]:
        return False
    if host.startswith("*."):
        return origin.host.endswith(host[1:]) and len(origin.host) > len(host) - 1
    return origin.host == host


def _parse_pattern(pattern: str) -> tuple[str, str, str] | None:
    """(scheme or "", host possibly with a leading `*.`, port, `*` or "")."""
    scheme, _, rest = pattern.rpartition("://")
    scheme = scheme.lower()
    if scheme and scheme not in DEFAULT_PORT:
        return None
    wildcard = rest.startswith("*.")
    if any_port := rest.endswith(":*"):
        rest = rest[:-2]
    try:
        parts = urlsplit("//" + (rest[2:] if wildcard else rest))
        port = parts.port
    except ValueError:
        return None
    host = normal_host(parts.hostname or "")
    clean = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in rest)
    if not host or "*" in host or not clean or (any_port and port is not None):
        return None
    return scheme, ("*." + host if wildcard else host), "*" if any_port else str(port or "")
