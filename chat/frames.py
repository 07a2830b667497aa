"""Events as Server-Sent Events frames."""

import json

from chat.tape import Event, Tape
from tenants.errors import ApiError

HEARTBEAT = b": still here\n\n"


def sse(first: int, events: list[Event]) -> bytes:
    """The frames of events numbered from `first`: id, name, and the data in as many `data:` lines as it has lines."""
    return "".join([_frame(first + at, event) for at, event in enumerate(events)]).encode()


def error(number: int, error: ApiError, tape: Tape) -> bytes:
    """An `error` frame for one follower alone."""
    data = {"code": error.code, "message": error.message, "traceId": str(tape.trace_id)}
    return sse(number, [Event("error", data)])


def _frame(number: int, event: Event) -> str:
    data = event.data if isinstance(event.data, str) else json.dumps(event.data, ensure_ascii=False)
    data = data.replace("\n", "\ndata: ")
    return f"id: {number}\nevent: {event.name}\ndata: {data}\n\n"
