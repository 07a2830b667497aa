"""The only way out to an address that somebody configured.

The host is resolved once and the connection goes to those very addresses, so a name can't point elsewhere
between the check and the call. Private addresses are refused unless settings.EGRESS_ALLOWED_PRIVATE names
them (networks, or host names that the operator trusts). Redirects and proxies from the environment are not
followed, the answer's body is not read, and the whole call ends within its timeout.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

MAX_BODY = 1024 * 1024  # bytes sent
# NAT64's own prefix, and the old "compatible" addresses but for :: and ::1, which are what they are.
_TRANSLATED = (IPv6Network("64:ff9b::/96"), *IPv6Network("::/96").address_exclude(IPv6Network("::/127")))
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
    connection = _Pinned(parts, _addresses(parts, deadline), deadline)
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
    """A connection to a resolved address, whatever the name says by now; over TLS for https."""

    def __init__(self, parts: SplitResult, addresses: list[tuple[str, int]], deadline: float):
        super().__init__(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._parts, self._addresses, self._deadline = parts, addresses, deadline

    def connect(self) -> None:
        self.sock = self._reach()
        self.sock.settimeout(self._remaining())
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self._parts.hostname)

    def _reach(self) -> socket.socket:
        """The first address that answers: "localhost" is ::1 too, where many a server does not listen."""
        for left in range(len(self._addresses), 1, -1):
            with contextlib.suppress(OSError):
                return socket.create_connection(self._addresses[-left], self._remaining() / left)
        return socket.create_connection(self._addresses[-1], self._remaining())

    def _remaining(self) -> float:
        return max(self._deadline - time.monotonic(), 0.001)

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


def _addresses(parts: SplitResult, deadline: float) -> list[tuple[str, int]]:
    """The addresses and the port to connect to; EgressError when any address of the name is out of bounds."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    lookup = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = lookup.result(max(deadline - time.monotonic(), 0))
    except (OSError, TimeoutError, UnicodeError) as error:
        raise EgressError(f"{host} has no address") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not _allowed(host, address):
            raise EgressError(f"{host} is on a private network: see EGRESS_ALLOWED_PRIVATE", refused=True)
    return [(address, port) for address in addresses]


def _allowed(host: str, address: str) -> bool:
    ip = _destination(ip_address(address.partition("%")[0]))
    if ip.is_global and not ip.is_multicast and not getattr(ip, "is_site_local", False):
        return True
    names = [entry for entry in settings.EGRESS_ALLOWED_PRIVATE if _network(entry) is None]
    networks = [network for entry in settings.EGRESS_ALLOWED_PRIVATE if (network := _network(entry)) is not None]
    if any(ip in network for network in networks):
        return True
    # A cloud's metadata service is link-local; a trusted name never leads there.
    return host in names and not (ip.is_link_local or ip.is_multicast or ip.is_unspecified)


def _destination(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where routers translate it."""
    if isinstance(ip, IPv4Address):
        return ip
    if any(ip in network for network in _TRANSLATED):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        return None
