"""The bare parts of an answer in one small server: what the product asks of its services for a question, once each and
in the same order, and nothing else. No client in scope, no policies, no limits that refuse, no checks of what comes in
or goes out, no citations, no resuming, and nothing goes on if a part fails.
"""

import asyncio
import base64
import contextlib
import json
import os
import uuid
from collections.abc import AsyncIterator

import httpx
import numpy as np
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TABLES = """
CREATE TABLE parts_knowledge (version int);
INSERT INTO parts_knowledge VALUES (1);
CREATE TABLE parts_session (id bigserial PRIMARY KEY, token uuid UNIQUE);
CREATE TABLE parts_message (id bigserial PRIMARY KEY, session bigint REFERENCES parts_session, trace uuid, text text,
    outcome text, sources jsonb, UNIQUE (trace, outcome));
CREATE TABLE parts_hour (hour int PRIMARY KEY, taken int, delivered int);
CREATE TABLE parts_held (trace uuid PRIMARY KEY);
CREATE TABLE parts_usage (id bigserial PRIMARY KEY, trace uuid UNIQUE, tokens int);
CREATE TABLE parts_chunk (id bigserial PRIMARY KEY, text text);
INSERT INTO parts_chunk (text) SELECT repeat('Boots can be returned. ', 60) FROM generate_series(1, 40)
"""
TAKE = "INSERT INTO parts_hour VALUES (1, 1, 0) ON CONFLICT (hour) DO UPDATE SET taken = parts_hour.taken + 1"
DELIVER = "UPDATE parts_hour SET delivered = delivered + 1 RETURNING delivered"
VECTORS = np.random.default_rng(1).normal(size=(40, 1536)).astype(np.float32)

provider = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=1000))
redis = Redis.from_url(os.environ["REDIS_URL"])
pool = AsyncConnectionPool(os.environ["DATABASE_OWNER_URL"], min_size=3, max_size=3, open=False)


async def answer(request: Request) -> JSONResponse:
    """A question's way: limits, its row, its vector, the passages, the model, the log."""
    question = json.loads(await request.body())["message"]
    trace = uuid.uuid4()
    await redis.incr("hour")
    await redis.zadd("running", {trace.hex: 1})
    await redis.get(f"answer:{question}")
    (session,), vector = await asyncio.gather(begin(trace, question), embed(question))
    nearest = [int(at) + 1 for at in np.argsort(-(VECTORS @ vector))[:5]]
    async with pool.connection() as connection:
        chunks = await connection.execute("SELECT text FROM parts_chunk WHERE id = ANY(%s)", (nearest,))
        passages = [text for (text,) in await chunks.fetchall()]
    text = await generate(question, passages)
    await redis.xadd(f"tape:{trace}", {"text": text})
    await end(trace, text)
    await redis.set(f"answer:{question}", text, ex=300)
    await redis.zrem("running", trace.hex)
    return JSONResponse({"response": text, "traceId": str(trace), "sessionToken": str(session)})


async def begin(trace: uuid.UUID, question: str) -> tuple[int]:
    message = "INSERT INTO parts_message (session, trace, text, outcome) VALUES (%s, %s, %s, %s)"
    async with pool.connection() as connection:
        await (await connection.execute("SELECT version FROM parts_knowledge")).fetchone()
        made = await connection.execute("INSERT INTO parts_session (token) VALUES (%s) RETURNING id", (trace,))
        session = await made.fetchone()
        assert session is not None
        await connection.execute(message, (*session, trace, question, "asked"))
        await connection.execute(message, (*session, trace, "", "running"))
        await connection.execute(TAKE)
        await connection.execute("INSERT INTO parts_held VALUES (%s)", (trace,))
    return session


async def embed(question: str) -> np.ndarray:
    body = {"model": "bench", "input": [question], "encoding_format": "base64"}
    response = await provider.post(os.environ["EMBEDDING_BASE_URL"] + "/embeddings", json=body)
    return np.frombuffer(base64.b64decode(response.json()["data"][0]["embedding"]), dtype="<f4")


async def generate(question: str, passages: list[str]) -> str:
    messages = [{"role": "system", "content": "\n\n".join(passages)}, {"role": "user", "content": question}]
    body = {"model": "bench", "stream": True, "messages": messages}
    words: list[str] = []
    async with provider.stream("POST", os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {") and (choices := json.loads(line[6:])["choices"]):
                words.append(choices[0]["delta"].get("content") or "")
    return "".join(words)


async def end(trace: uuid.UUID, text: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE parts_message SET text = %s, sources = %s, outcome = 'answered' WHERE trace = %s AND outcome = %s",
            (text, "[]", trace, "running"),
        )
        await connection.execute("DELETE FROM parts_held WHERE trace = %s", (trace,))
        await connection.execute(DELIVER)
        await connection.execute("INSERT INTO parts_usage (trace, tokens) VALUES (%s, %s)", (trace, 100))


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    await pool.open()
    async with pool.connection() as connection:
        await connection.execute(TABLES)
    yield
    await pool.close()


app = Starlette(routes=[Route("/chat", answer, methods=["POST"])], lifespan=lifespan)
