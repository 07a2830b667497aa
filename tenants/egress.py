"""The only way out to an address that somebody configured.

The host is resolved once and the connection goes to that very address, so a name can't point elsewhere
between the check and the call. Private addresses are refused unless settings.EGRESS_ALLOWED_PRIVATE names
them (networks, or host names that the operator trusts). Redirects and proxies from the environment are not
followed, the answer's body is not read, and the whole call ends within its timeout.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

MAX_BODY = 1024 * 1024  # bytes sent
_resolvers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="egress-dns")


class EgressError(Exception):
    """No answer: refused by these rules (`refused`, trying again is no use), or the network failed."""

    def __init__(self, message: str, *, refused: bool = False):
        super().__init__(message)
        self.refused = refused


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float = 10.0) -> int:
    """POST `body` and return the answer's status; EgressError if none came within `timeout` seconds."""
    if len(body) > MAX_BODY:
        raise EgressError("the body is too large", refused=True)
    deadline = time.monotonic() + timeout
    parts = _checked_url(url)
    connection = _Pinned(parts, _address(parts, deadline), deadline)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    watchdog = threading.Timer(max(deadline - time.monotonic(), 0), connection.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.request("POST", path, body, dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EgressError(f"no answer from {parts.hostname}: {type(error).__name__}") from error
    finally:
        watchdog.cancel()
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to one resolved address, whatever the name says by now; over TLS for https."""

    def __init__(self, parts: SplitResult, address: tuple[str, int], deadline: float):
        super().__init__(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._parts, self._address, self._deadline = parts, address, deadline

    def connect(self) -> None:
        remaining = max(self._deadline - time.monotonic(), 0.001)
        self.sock = socket.create_connection(self._address, remaining)
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self._parts.hostname)

    def cut(self) -> None:
        """Wake up whatever waits on the socket: a server that drips a byte a second ends here."""
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # closed already


def _checked_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or "@" in parts.netloc:
        raise EgressError("not an http(s) address without user name", refused=True)
    return parts


def _address(parts: SplitResult, deadline: float) -> tuple[str, int]:
    """The address and port to connect to; EgressError when any address of the name is out of bounds."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    lookup = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = lookup.result(max(deadline - time.monotonic(), 0))
    except (OSError, TimeoutError, UnicodeError) as error:
        raise EgressError(f"{host} has no address") from error
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not _allowed(host, address):
            raise EgressError(f"{host} is on a private network: see EGRESS_ALLOWED_PRIVATE", refused=True)
    return addresses[0], port


def _allowed(host: str, address: str) -> bool:
    ip = ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_global and not ip.is_multicast:
        return True
    names = [entry for entry in settings.EGRESS_ALLOWED_PRIVATE if _network(entry) is None]
    networks = [network for entry in settings.EGRESS_ALLOWED_PRIVATE if (network := _network(entry)) is not None]
    if any(ip in network for network in networks):
        return True
    # A cloud's metadata service is link-local; a trusted name never leads there.
    return host in names and not (ip.is_link_local or ip.is_multicast or ip.is_unspecified)


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        return None
