"""What the product's consumers have in common: Channels hands them their messages, and nothing more."""

import contextlib
from typing import Any

from channels.exceptions import StopConsumer
from channels.utils import await_many_dispatch


class Layerless:
    """A consumer that joins no channel layer, and whose messages make no visit to a thread to close old connections:
    none is opened in the event loop's."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope, self.base_send = scope, send
        with contextlib.suppress(StopConsumer):
            await await_many_dispatch([receive], self.dispatch)

    async def dispatch(self, message: dict[str, Any]) -> None:
        await getattr(self, message["type"].replace(".", "_"))(message)
