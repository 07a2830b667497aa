"""The table of everything that can be called from outside. What is missing here fails test_routes.py."""

from dataclasses import dataclass
from typing import Any

TEXT = "UGxhaW4gdGV4dC4="  # base64 of "Plain text."


@dataclass(frozen=True)
class Route:
    """A route as its URL conf spells it. `{names}` in `path` are ids of the kinds in test_routes.py.

    `scope`: what a secret key needs for it; None: the route is the same for everyone.
    `own`: the status that a client's own caller gets, which proves that the data under attack is really there.
    """

    pattern: str
    method: str
    path: str
    scope: str | None = None
    body: dict[str, Any] | None = None
    own: int = 200
    internal_only: bool = False


API = "api/widget/"
DOCUMENT = API + r"^documents/(?P<document_id>(?s:.{1,255}))"
FILE = r"(?P<name>widget\.(?:js|css)|people\.js|[a-z]{2}\.json)$"
PINNED = rf"^widget/(?P<version>v[12])/(?P<digest>[0-9a-f]{{16}})/{FILE}"

ROUTES = [
    # documents
    Route(API + "process-document", "POST", "/api/widget/process-document", "documents",
          {"documentId": "new", "fileData": TEXT, "fileType": "txt", "originalName": "new.txt"}, own=202),
    Route(DOCUMENT + r"/status\Z", "GET", "/api/widget/documents/{document}/status", "documents"),
    Route(DOCUMENT + r"\Z", "DELETE", "/api/widget/documents/{document}", "documents", own=204),
    # visitors
    Route(API + "config", "GET", "/api/widget/config", "chat"),
    Route(API + "sessions/<id:session_id>/messages", "GET", "/api/widget/sessions/{session}/messages", "chat"),
    Route(API + "sessions/<id:session_id>/export", "GET", "/api/widget/sessions/{session}/export", "chat"),
    Route(API + "sessions/<id:session_id>", "DELETE", "/api/widget/sessions/{session}", "chat", own=204),
    Route(API + "sessions/<id:session_id>/person", "POST", "/api/widget/sessions/{session}/person", "chat", {}),
    Route(API + "sessions/<id:session_id>/address", "POST", "/api/widget/sessions/{session}/address", "chat",
          {"email": "vera@example.org"}, own=204),
    Route(API + "messages/<id:trace_id>/feedback", "POST", "/api/widget/messages/{trace}/feedback", "chat",
          {"rating": "up"}, own=204),
    # use and money
    Route("api/usage", "GET", "/api/usage", "usage"),
    Route("api/usage/current", "GET", "/api/usage/current", "usage"),
    Route("api/invoices", "GET", "/api/invoices", "usage"),
    Route("api/clients/<id:client_id>/limits", "PATCH", "/api/clients/{client}/limits", "usage", {"hardCap": True}),
    Route("api/billing/stripe", "POST", "/api/billing/stripe", None, {"type": "unsigned"}, own=400),
    # Express
    Route(API + "internal/validate-client", "POST", "/api/widget/internal/validate-client", "internal",
          {"apiKey": "pk_live_x"}, internal_only=True),
    Route(API + "internal/clients/<id:client_id>/export", "GET", "/api/widget/internal/clients/{client}/export",
          "internal", internal_only=True),
    Route(API + "internal/clients/<id:client_id>/erasure", "POST", "/api/widget/internal/clients/{client}/erasure",
          "internal", {}, own=202, internal_only=True),
    # the same for everyone
    Route("", "GET", "/"),
    Route("health", "GET", "/health"),
    Route("health/live", "GET", "/health/live"),
    Route("health/ready", "GET", "/health/ready"),
    Route(API + "health", "GET", "/api/widget/health"),
    Route("api/schema", "GET", "/api/schema"),
    Route("api/docs", "GET", "/api/docs"),
    Route("widget/version", "GET", "/widget/version"),
    Route(rf"^widget/(?P<version>v[12])/{FILE}", "GET", "/widget/v2/widget.js"),
    Route(PINNED, "GET", "/widget/v2/0123456789abcdef/widget.js", own=404),
]  # fmt: skip

# Served by Channels (chat/routing.py).
CONSUMERS = [
    Route("api/widget/chat", "POST", "/api/widget/chat", "chat", {"message": "What is canary?"}),
    Route("api/widget/chat/stream", "POST", "/api/widget/chat/stream", "chat", {"message": "What is canary?"}),
    Route("api/widget/chat/stream/<id:trace_id>", "GET", "/api/widget/chat/stream/{trace}", "chat", own=404),
    Route("api/widget/sessions/<id:session_id>/events", "GET", "/api/widget/sessions/{session}/events", "chat"),
]
WEBSOCKETS = ["ws/widget/chat", "ws/desk/conversations/<int:pk>"]

# Management commands, and which clients' rows they touch.
COMMANDS = {
    "create_client": "makes one",
    "create_key": "the one that is named",
    "delete_client": "the one that is named",
    "list_clients": "all, for the operator",
    "revoke_key": "the one whose key is named",
    "ask": "the one that is named",
    "evaluate": "the one that is named",
    "apply_retention": "each in its own scope",
    "tune_retrieval": "nobody's: labelled questions",
    "backup": "all, for the operator",
    "restore": "all, for the operator",
    "check_index": "each in its own scope",
    "check_invariants": "each in its own scope; digests, invoice numbers and owners over all",
    "close_month": "each in its own scope",
    "rebuild_usage": "each in its own scope",
    "reindex": "each in its own scope",
    "worker_health": "counts over all",
    "qcluster": "runs jobs, which open their own scope",
    "serve": "the demo's",
    "web": "serves requests, which open their own scope",
}

# Jobs that Django-Q2 may be asked to run: a job gets ids and opens its own scope.
JOBS = {
    "tenants.tasks.erase_client",
    "tenants.tasks.resume_erasures",  # of all that were requested; receipts are nobody's rows
    "billing.tasks.keep_books",  # of all clients, each in its own scope
    "billing.tasks.send_alerts",  # of all
    "billing.tasks.deliver_billing_events",  # of all
    "chat.tasks.group_gaps",  # of all clients, each in its own scope
    "chat.tasks.follow_up_gaps",  # of all, each in its own scope
    "chat.tasks.run_question_sets",  # the next run, in its own client's scope
    "chat.tasks.apply_retention",  # of all, each in its own scope
    "knowledge.tasks.ingest_next",  # the next one, in its own client's scope
}
