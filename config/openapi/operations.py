"""What DRF's routes and the plain ones take and answer. What is missing fails tests/config/test_openapi.py."""

from dataclasses import dataclass, field
from typing import Any

from config.openapi.shapes import TEXT, UUID, Schema, ref
from tenants.errors import STATUS_OF

Security = list[dict[str, list[str]]]
WIDGET: Security = [{"widgetKey": []}, {"secretKey": []}, {"internalSecret": []}]
SERVER: Security = [{"secretKey": []}, {"internalSecret": []}]
INTERNAL: Security = [{"internalSecret": []}]
NOBODY: Security = []
SECURITY_SCHEMES = {
    "widgetKey": {"type": "apiKey", "in": "header", "name": "x-api-key",
                  "description": "A publishable key (pk_live_…), with the browser's Origin."},
    "secretKey": {"type": "http", "scheme": "bearer", "description": "A secret key (sk_live_…) with the scope."},
    "internalSecret": {"type": "apiKey", "in": "header", "name": "X-Internal-Secret",
                       "description": "Express; it names the client as clientId."},
}  # fmt: skip
REFUSED = (400, 401, 403, 404)  # what any caller with a key may be told


@dataclass(frozen=True)
class Operation:
    """`bodies` and `answers` name components (shapes.py), by content type and by status; `errors` are statuses."""

    summary: str
    security: Security
    answers: dict[int, str | None]
    errors: tuple[int, ...] = REFUSED
    bodies: dict[str, str] = field(default_factory=dict)
    parameters: tuple[Schema, ...] = ()
    description: str = ""

    def as_openapi(self, path: str, method: str) -> Schema:
        """The Operation Object; the parameters of the path are in it, too."""
        found: Schema = {
            "operationId": _name(path, method),
            "tags": [_tag(path)],
            "summary": self.summary,
            "description": self.description,
            "security": self.security,
            "parameters": [*_in_path(path), *self.parameters],
            "responses": {str(status): _answer(name) for status, name in self.answers.items()},
        }
        for status in self.errors:
            codes = ", ".join(code for code, its in STATUS_OF.items() if its == status)
            found["responses"][str(status)] = {**_answer("Error"), "description": codes}
        if self.bodies:
            content = {kind: {"schema": ref(name)} for kind, name in self.bodies.items()}
            found["requestBody"] = {"required": True, "content": content}
        return found


def query(name: str, schema: Schema, description: str) -> Schema:
    return {"in": "query", "name": name, "schema": schema, "description": description}


def header(name: str, description: str, schema: Schema = TEXT) -> Schema:
    return {"in": "header", "name": name, "schema": schema, "description": description}


def _json(name: str) -> dict[str, str]:
    return {"application/json": name}


FOR_CLIENT = query("clientId", TEXT, "The client that the internal caller acts for.")
TOKEN = header("X-Session-Token", "The sessionToken that came with the session's answers.")
_day = {"type": "string", "description": "2026-11-22 or 2026-11-22T10:00:00Z"}

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("/api/widget/config", "get"): Operation("How the widget looks", WIDGET, {200: "WidgetConfig"},
        parameters=(FOR_CLIENT,)),
    ("/api/widget/sessions/{session_id}/messages", "get"): Operation("What was said in a session", WIDGET,
        {200: "Messages"}, parameters=(FOR_CLIENT, TOKEN)),
    ("/api/widget/sessions/{session_id}/person", "post"): Operation("Ask for a person", WIDGET, {200: "People"},
        (*REFUSED, 429), parameters=(FOR_CLIENT, TOKEN),
        description="Within staffed hours the visitor then waits; the assistant answers until a person comes."),
    ("/api/widget/sessions/{session_id}/address", "post"): Operation("Leave an e-mail address", WIDGET, {204: None},
        (*REFUSED, 429), _json("Address"), (FOR_CLIENT, TOKEN),
        "It is noted in the conversation, and mailed to the client's people."),
    ("/api/widget/sessions/{session_id}", "delete"): Operation("Erase a visitor's session", WIDGET,
        {204: None, 200: "SessionReceipt"}, (*REFUSED, 503), parameters=(FOR_CLIENT, TOKEN, query("receipt",
        {"type": "string", "enum": ["true"]}, "Answer 200 with what was erased, instead of 204."))),
    ("/api/widget/sessions/{session_id}/export", "get"): Operation("Everything held of a session", WIDGET,
        {200: "SessionExport"}, parameters=(FOR_CLIENT, TOKEN)),
    ("/api/widget/internal/clients/{client_id}/export", "get"): Operation("Everything held of a client", INTERNAL,
        {200: "ClientExport"}, description="Streamed; rows by model, and the stored files in base64."),
    ("/api/widget/internal/clients/{client_id}/erasure", "post"): Operation("Erase a client for good", INTERNAL,
        {202: "ClientReceipt"}, description="Rows, vectors, files, recordings and cached answers; the books stay, "
        "without content. The receipt is finished when `finished` is set; ask for it again until then."),
    ("/api/widget/internal/clients/{client_id}/erasure", "get"): Operation("The receipt of a client's erasure",
        INTERNAL, {200: "ClientReceipt"}),
    ("/api/widget/messages/{trace_id}/feedback", "post"): Operation("Rate an answer", WIDGET, {204: None},
        bodies=_json("Rating"), parameters=(FOR_CLIENT, TOKEN)),
    ("/api/widget/process-document", "post"): Operation("Take a document in", SERVER, {202: "Accepted"},
        (*REFUSED, 402, 413, 415, 503), {"application/json": "Upload", "multipart/form-data": "UploadForm"},
        description="It is read, cut, embedded and stored outside the request; the same document may be sent again."),
    ("/api/widget/documents/{document_id}/status", "get"): Operation("How far a document is", SERVER,
        {200: "DocumentStatus"}, parameters=(FOR_CLIENT,)),
    ("/api/widget/documents/{document_id}", "delete"): Operation("Remove a document", SERVER, {204: None},
        parameters=(FOR_CLIENT,)),
    ("/api/widget/internal/validate-client", "post"): Operation("Whose key is this?", INTERNAL, {200: "KeyChecked"},
        (400, 401), _json("KeyToCheck")),
    ("/api/usage", "get"): Operation("Use by hour, day or month", SERVER, {200: "UsageSeries"}, parameters=(
        FOR_CLIENT, query("from", _day, "First moment; default: this month's."),
        query("to", _day, "Not included, but a bare date is; default: now."),
        query("granularity", {"type": "string", "enum": ["hour", "day", "month"]}, "Default: day."))),
    ("/api/usage/current", "get"): Operation("This hour, this month, and the bill so far", SERVER,
        {200: "CurrentUsage"}, parameters=(FOR_CLIENT,)),
    ("/api/invoices", "get"): Operation("Invoices and credit notes", SERVER, {200: "Invoices"},
        parameters=(FOR_CLIENT,)),
    ("/api/clients/{client_id}/limits", "patch"): Operation("Change a client's limits and alerts", SERVER,
        {200: "Limits"}, bodies=_json("LimitsChange")),
    ("/api/billing/stripe", "post"): Operation("A webhook of Stripe", NOBODY, {200: "Received"}, (400,),
        _json("Anything"), (header("Stripe-Signature", "Proves it."),)),
    **{(path, "get"): Operation("Is the product well?", NOBODY, {200: "Health", 503: "Health"}, ())
       for path in ("/health", "/health/ready", "/api/widget/health")},
    ("/health/live", "get"): Operation("Does the process answer?", NOBODY, {200: "Live"}, ()),
    ("/widget/version", "get"): Operation("The widget's versions and files", NOBODY, {200: "WidgetVersions"}, ()),
}  # fmt: skip


def _name(path: str, method: str) -> str:
    words = [word for word in path.replace("-", "/").replace("{", "").replace("}", "").split("/") if word]
    return method + "".join(word[0].upper() + word[1:] for word in words)


def _tag(path: str) -> str:
    word = path.removeprefix("/api").removeprefix("/widget").split("/")[1]
    kinds = {"process-document": "documents", "documents": "documents", "internal": "internal", "health": "health",
             "version": "widget", "usage": "billing", "invoices": "billing", "clients": "billing",
             "billing": "billing"}  # fmt: skip
    return kinds.get(word, "chat")


def _in_path(path: str) -> list[Schema]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    document = {"type": "string", "minLength": 1, "maxLength": 255}
    return [
        {"in": "path", "name": name, "required": True, "schema": document if name == "document_id" else UUID}
        for name in names
    ]


def _answer(name: str | None) -> dict[str, Any]:
    if name is None:
        return {"description": "Done."}
    return {"description": name, "content": {"application/json": {"schema": ref(name)}}}
