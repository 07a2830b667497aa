"""The routes that Channels serves (chat/routing.py), and the protocols of events in words."""

from config.openapi.operations import REFUSED, TOKEN, WIDGET, Operation, header, query
from config.openapi.shapes import TEXT, Schema

ERRORS = (*REFUSED, 402, 409, 413, 429, 500, 502, 503, 504)
KEY = header("Idempotency-Key", "The same key and question within 24 hours get the same answer, billed once.",
             {"type": "string", "minLength": 1, "maxLength": 255})  # fmt: skip

EVENTS = """The response is a stream of Server-Sent Events, each with an `id`, in this order:

| event | data |
| --- | --- |
| `start` | `{"traceId", "sessionId", "sessionToken", "person"?}` |
| `chunk`, many | a piece of the answer: text, not JSON. Their concatenation is the whole answer |
| `sources` | a JSON array of Source |
| `usage` | Usage as JSON |
| `done` | `[DONE]` |
| `error`, instead of what would follow | `{"code", "message", "traceId"}` |

`person` (`{"name"}`) is there where a person has taken the conversation over: no model is asked, nothing is billed, and
the `chunk` says who will answer.

A failure before `start` is an ordinary JSON error. Lines that begin with a colon keep the connection alive."""

WEBSOCKET = """A WebSocket at `/ws/widget/chat` carries the same events. Texts are JSON.

1. Within 10 seconds: `{"type": "auth", "apiKey": "pk_live_…", "sessionId"?, "sessionToken"?}`, answered by
   `{"id": "", "event": "ready", "data": {"sessionId", "sessionToken"}, "eventId": ""}`.
2. `{"type": "ask", "id": "q1", "message": "…", "metadata"?}` (the id is a text or a whole number), several at once if
   need be; each is answered by
   `{"id": "q1", "event": "start | chunk | sources | usage | done | error", "data": …, "eventId": "1"}` in the order
   of the event stream.
3. `{"type": "listen", "id": "l1", "after"?}` is answered by the events of `/sessions/{sessionId}/events` from the turn
   `after` on: `{"id": "l1", "event": "state | message | typing", "data": …, "eventId": "the traceId of a message"}`.
4. `{"type": "ping"}` is answered by `{"id": "", "event": "pong", "data": {}, "eventId": ""}`.

Close codes: 4400 not the protocol, 4401 no or a wrong key, 4403 the origin or client is not allowed, 4429 too many
questions at once, 1009 a message that is too large, 1012 the server restarts: connect again."""

PEOPLE = """What the visitor hears of people, as an endless stream of Server-Sent Events:

| event | data |
| --- | --- |
| `state`, first and at every change | `{"person": {"name"} or null, "waiting", "staffed"}` |
| `message` | `{"traceId", "person": {"name"}, "message", "createdAt"}`; its `id` is the traceId |
| `typing` | `{"name"}`: for the next five seconds |
| `error`, before the end | `{"code", "message", "traceId"}`: the key or the client was switched off |

`person` has taken the conversation over; `waiting`: the visitor has asked for one; `staffed`: one could come.

With `Last-Event-ID` (the traceId of any turn of the session) it begins with what was written after that turn. When it
ends, connect again. Lines that begin with a colon keep the connection alive."""

_body = {"application/json": "Question"}
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("/api/widget/chat", "post"): Operation("Ask", WIDGET, {200: "Answer"}, ERRORS, _body, (KEY,)),
    ("/api/widget/chat/stream", "post"): Operation("Ask, and get the answer as it is written", WIDGET, {200: "Events"},
        ERRORS, _body, (KEY,), EVENTS),
    ("/api/widget/chat/stream/{trace_id}", "get"): Operation("The rest of an answer, followed live", WIDGET,
        {200: "Events"}, (*REFUSED, 503), {}, (TOKEN, header("Last-Event-ID", "The last event that came."),
        query("after", {"type": "string", "pattern": "^[0-9]{1,9}$"}, "The same, for who can't set headers.")), EVENTS),
    ("/api/widget/sessions/{session_id}/events", "get"): Operation("What people write, live", WIDGET,
        {200: "Events"}, (*REFUSED, 429), {}, (TOKEN, header("Last-Event-ID", "The last turn that came."),
        query("after", TEXT, "The same, for who can't set headers.")), PEOPLE),
}  # fmt: skip
_names: Schema = {"type": "string", "enum": [
    "start", "chunk", "sources", "usage", "done", "error", "state", "message", "typing"]}  # fmt: skip
EVENT: Schema = {"type": "object", "properties": {"id": TEXT, "event": _names, "data": TEXT}, "required": ["data"]}
EVENT_STREAM: Schema = {"text/event-stream": {"schema": EVENT}}
