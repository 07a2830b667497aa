"""What every door does before a question is asked: who calls, is it well formed, is there room for it."""

import asyncio
import contextlib
import ipaddress
import json
import math
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import structlog
from django.core.exceptions import SynchronousOnlyOperation
from django.utils import timezone

from billing import limits
from chat.serializers import QuestionSerializer
from chat.workflow.state import Question
from tenants.addresses import address_block, client_address
from tenants.callers import Caller, Kind, authenticate, require_scope
from tenants.cors import cors_headers
from tenants.errors import ApiError
from tenants.models import Client
from tenants.threads import in_thread

MAX_BODY_BYTES = 64 * 1024
BEGIN_SECONDS = 8.0  # from a request's arrival until its answer has begun, whatever is slow
_question = QuestionSerializer()  # one for all: making its fields costs more than their checks
closing = False  # this process is shutting down: nothing new begins


async def judge(headers: Mapping[str, str]) -> tuple[dict[str, str], Caller | ApiError]:
    """The CORS headers of the response, and the caller or why there is none."""
    try:
        return _judge(headers)  # keys are remembered a moment; then this asks the database nothing,
    except SynchronousOnlyOperation:  # else Django refuses the query here, before anything has happened
        return await in_thread(_judge, headers)


def _judge(headers: Mapping[str, str]) -> tuple[dict[str, str], Caller | ApiError]:
    cors = cors_headers(headers)
    try:
        caller = authenticate(headers)
        require_scope(caller, "chat")
    except ApiError as error:
        return cors, error
    return cors, caller


async def acting(caller: Caller, fields: dict[str, Any]) -> Caller:
    """The caller with its client. Only the internal one names it, as `clientId` in `fields` (a body or a query);
    whatever anybody else has there is dropped unread. ApiError 400, 403 or 404."""
    named = fields.pop("clientId", None)
    if caller.client is not None:
        return caller
    return replace(caller, client=await in_thread(caller.acting_for, named))


async def admit(
    caller: Caller, body: Any, headers: Mapping[str, str], trace_id: str, peer: str | None, door: str
) -> Question:
    """A well-formed question that has its place in the client's hour, or ApiError 400, 429 or 503.

    `caller`: with its client (`acting`). `peer`: the address that opened the connection. `door`: as in Question.
    """
    if closing:
        raise ApiError("SERVICE_UNAVAILABLE", "The chat restarts. Please try again.", headers={"Retry-After": "1"})
    client = caller.client
    assert client is not None
    fields = _question.run_validation(body)
    structlog.contextvars.bind_contextvars(client_id=str(client.pk), caller=caller.kind.value)
    session_id = fields.get("sessionId")
    idempotency_key = _idempotency_key(headers)
    address = visitor_address(caller, headers, peer)
    await limits.admit_visitor(client.pk, session_id, address)
    admission, refused = await _place(client, may_need_none=bool(idempotency_key or session_id))
    return Question(
        client=client,
        session_id=session_id or uuid.uuid4(),
        new_session=session_id is None,
        trace_id=uuid.UUID(trace_id),
        text=fields["message"],
        at=timezone.now(),
        admission=admission,
        refused=refused,
        metadata=fields.get("metadata") or {},
        idempotency_key=idempotency_key,
        door=door,
        visitor=address or str(session_id or ""),
    )


async def _place(client: Client, may_need_none: bool) -> tuple[limits.Admission, ApiError | None]:
    """A place in the hour. What may need none is not refused here: a repetition, whose answer has its place, and what
    is said to a person."""
    try:
        return await limits.admit(client), None
    except ApiError as error:
        if error.code != "RATE_LIMITED" or not may_need_none:
            raise
        return limits.full_hour(client), error


@contextlib.asynccontextmanager
async def within(by: float) -> AsyncIterator[None]:
    """ApiError SERVICE_UNAVAILABLE at the event loop's time `by`."""
    try:
        async with asyncio.timeout_at(by):
            yield
    except TimeoutError as error:
        raise unavailable() from error


def unavailable() -> ApiError:
    """What is told where something that we need does not answer."""
    message = "The service is not available at the moment. Please try again in a few seconds."
    return ApiError("SERVICE_UNAVAILABLE", message, headers={"Retry-After": "5"})


def arrived() -> float:
    """By when a request that comes now has an answer begun, or an error; for `within`."""
    return asyncio.get_running_loop().time() + BEGIN_SECONDS


def visitor_address(caller: Caller, headers: Mapping[str, str], peer: str | None) -> str:
    """What the visitor's own limits count by: the block of a public address. Empty where the address is not the
    visitor's (a customer's server, Express, a proxy that nobody told us of)."""
    if caller.kind is not Kind.WIDGET:
        return ""
    address = client_address(peer, headers)
    return address_block(address) if address and ipaddress.ip_address(address).is_global else ""


def _idempotency_key(headers: Mapping[str, str]) -> str | None:
    key = headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= 255:
        raise ApiError("INVALID_REQUEST", "An Idempotency-Key has 1 to 255 characters.")
    return key


def parse_json(body: bytes) -> Any:
    """A JSON object that can be stored, or ApiError 400."""
    value = json_object(body)
    demand_storable(body, value)
    return value


def json_object(body: bytes) -> Any:
    """A JSON object, or ApiError 400."""
    try:
        value = json.loads(body, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ApiError("INVALID_REQUEST", "The request body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise ApiError("INVALID_REQUEST", "The request body is not a JSON object.")
    return value


def demand_storable(body: bytes, value: dict[str, Any]) -> None:
    """ApiError 400 for what no database takes; `value` is what `body` holds."""
    if b"\\u" in body and not _storable(value):
        raise ApiError("INVALID_REQUEST", "The request body holds a NUL or half a surrogate pair.")


def _finite(number: str) -> float:
    """A JSON number, or ValueError for NaN and what is too large (1e999), which no database takes as JSON."""
    if not math.isfinite(value := float(number)):
        raise ValueError("not a finite number")
    return value


def _storable(value: dict[str, Any]) -> bool:
    """PostgreSQL stores neither a NUL nor half a surrogate pair; in JSON both come as escapes."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\\u0000" not in text
