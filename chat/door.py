"""What every door does before a question is asked: who calls, is it well formed, is there room for it."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from channels.db import database_sync_to_async
from django.utils import timezone

from billing import limits
from chat.serializers import QuestionSerializer
from chat.workflow.state import Question
from tenants.callers import Caller, authenticate, require_scope
from tenants.cors import cors_headers
from tenants.errors import ApiError

MAX_BODY_BYTES = 64 * 1024


async def judge(headers: Mapping[str, str]) -> tuple[dict[str, str], Caller | ApiError]:
    """The CORS headers of the response, and the caller or why there is none. Asks the database in a thread."""
    return await in_thread(_judge, headers)


def _judge(headers: Mapping[str, str]) -> tuple[dict[str, str], Caller | ApiError]:
    cors = cors_headers(headers)
    try:
        caller = authenticate(headers)
        require_scope(caller, "chat")
    except ApiError as error:
        return cors, error
    return cors, caller


async def admit(caller: Caller, body: Any, headers: Mapping[str, str], trace_id: str) -> Question:
    """A well-formed question that has its place in the client's hour, or ApiError 400, 403, 404 or 429."""
    serializer = QuestionSerializer(data=body)
    serializer.is_valid(raise_exception=True)
    fields = serializer.validated_data
    client = caller.client or await in_thread(caller.acting_for, fields.get("clientId"))
    key = headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= 255:
        raise ApiError("INVALID_REQUEST", "An Idempotency-Key has 1 to 255 characters.")
    return Question(
        client=client,
        session_id=fields.get("sessionId") or uuid.uuid4(),
        trace_id=uuid.UUID(trace_id),
        text=fields["message"],
        at=timezone.now(),
        admission=await limits.admit(client),
        metadata=fields.get("metadata") or {},
        idempotency_key=key,
    )


def parse_json(body: bytes) -> Any:
    """A JSON object, or ApiError 400."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError("INVALID_REQUEST", "The request body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise ApiError("INVALID_REQUEST", "The request body is not a JSON object.")
    return value


def in_thread(function: Any, *args: Any) -> Any:
    """Run synchronous code that queries; its connection is given back at the end."""
    return database_sync_to_async(function, thread_sensitive=False)(*args)
