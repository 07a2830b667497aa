"""Tasks that serve everybody, whoever's request has started them."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any


def start(work: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
    """Run it in a context of its own, so that its lines in the log bear no request's trace id and client."""
    return asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context())
