"""The bare relay to compare with: Starlette and httpx, no key, no limits, no search, no log."""

import os
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=1000))


async def relay(request: Request) -> StreamingResponse:
    body = await request.body()

    async def pieces() -> AsyncIterator[bytes]:
        async with client.stream("POST", os.environ["PROVIDER"] + "/chat/completions", content=body) as response:
            async for line in response.aiter_lines():
                if line:
                    yield line.encode() + b"\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


app = Starlette(routes=[Route("/chat", relay, methods=["POST"])])
