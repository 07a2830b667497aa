"""SDK clients: made at first use, one for each event loop, and used again by every request there."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

_clients: dict[int, tuple[asyncio.AbstractEventLoop, dict[Hashable, Any]]] = {}


def client(key: Hashable, make: Callable[[], Any]) -> Any:
    """The running loop's client for `key` (provider, address, key). A client cannot move between loops."""
    loop = asyncio.get_running_loop()
    entry = _clients.get(id(loop))
    if entry is None or entry[0] is not loop:
        _forget_closed_loops()
        entry = _clients[id(loop)] = (loop, {})
    clients = entry[1]
    if key not in clients:
        clients[key] = make()
    return clients[key]


async def close() -> None:
    """Close the running loop's clients and their kept connections."""
    loop = asyncio.get_running_loop()
    entry = _clients.get(id(loop))
    if entry is not None and entry[0] is loop:
        del _clients[id(loop)]
        for each in entry[1].values():
            await each.close()


def _forget_closed_loops() -> None:
    for number in [number for number, (loop, _) in _clients.items() if loop.is_closed()]:
        del _clients[number]
