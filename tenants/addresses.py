"""Where a request comes from, past the proxies that the operator runs."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings


def client_address(peer: str | None, headers: Mapping[str, str]) -> str:
    """The address of the visitor, in its shortest spelling; empty where there is none (a Unix socket).

    `peer` is who opened the connection (`REMOTE_ADDR`, or `scope["client"][0]`). X-Forwarded-For is read from
    its end, and only as far as each next hop was reported by one of settings.TRUSTED_PROXIES (networks):
    what a visitor writes into it stands further left and counts for nothing.
    """
    address = _parse(peer or "")
    trusted = [ip_network(network) for network in settings.TRUSTED_PROXIES]
    hops = headers.get("x-forwarded-for", "").split(",")
    while address is not None and hops and any(address in network for network in trusted):
        next_hop = _parse(hops.pop().strip())
        if next_hop is None:
            break
        address = next_hop
    return "" if address is None else address.compressed


def address_block(address: str) -> str:
    """What one visitor can change addresses within: the address itself, or the /64 network of an IPv6 one."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return address


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address, possibly with a port (`192.0.2.1:80`, `[::1]:80`); IPv4 in IPv6 is taken out."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
