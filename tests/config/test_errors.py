"""Every error has one shape, one trace id, and nothing internal in it."""

import time
import uuid
from typing import Any

import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.test import Client as Browser

from config import health
from tenants.errors import STATUS_OF, as_api_error, new_trace_id

EXPRESS = {"X-Internal-Secret": settings.INTERNAL_API_SECRET}
NO_OBJECT = "The request body is not a JSON object."
NOT_JSON = "The request body is not valid JSON."
UNREADABLE = "The request can't be read: it is not what its headers say, or too complex."
FEEDBACK = "/api/widget/messages/6f1de1f0-7f6c-4c52-9d34-5f3f6b3a1c11/feedback"


def part(name: str, more: str = "") -> str:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\nx\r\n'


FIELDS = "".join(part(str(number)) for number in range(3_000)) + "--x--\r\n"
FILES = "".join(part("file", f'; filename="{number}.txt"') for number in range(200)) + "--x--\r\n"


@pytest.mark.parametrize("sent", ["0b7c8c4e-5a0e-4d5e-9a55-6f2f1d7f6c1a", "0B7C8C4E-5A0E-4D5E-9A55-6F2F1D7F6C1A"])
def test_a_well_formed_request_id_is_kept(db: None, sent: str) -> None:
    response = Browser().get("/api/widget/config", headers={"X-Request-ID": sent})
    assert (response.status_code, response["X-Request-ID"]) == (401, sent.lower())
    assert response.json() == {
        "error": {"code": "INVALID_API_KEY", "message": "The API key is missing or not valid.", "details": {}},
        "message": "The API key is missing or not valid.",
        "traceId": sent.lower(),
    }


@pytest.mark.parametrize("sent", ["", "x" * 500, "1; DROP TABLE", "<script>"])
def test_any_other_request_id_is_replaced(db: None, sent: str) -> None:
    response = Browser().get("/api/widget/config", headers={"X-Request-ID": sent})
    assert uuid.UUID(response["X-Request-ID"]) and response.json()["traceId"] == response["X-Request-ID"]


@pytest.mark.parametrize("path", ["widget/config", "widget/documents/x/status", "usage/current", "nothing"])
def test_no_cache_gives_one_pages_response_to_another(db: None, path: str) -> None:
    for headers in ({}, EXPRESS, {"Origin": "https://a.example"}):
        assert "Origin" in Browser().get(f"/api/{path}", headers=headers)["Vary"]
    assert "Origin" in Browser().post("/internal/validate-client", headers=EXPRESS)["Vary"]


def test_what_nobody_foresaw_is_told_without_internals() -> None:
    error = as_api_error(RuntimeError("SELECT * FROM secrets at /srv/app on host db-1"))
    assert (error.code, error.status) == ("PROCESSING_ERROR", 500)
    assert error.message == "Something went wrong on our side. Please try again."


@pytest.mark.parametrize("away", [OperationalError("no route to db-1"), InterfaceError("db-1 closed the connection")])
def test_a_database_that_is_away_is_a_reason_to_try_again(away: Exception) -> None:
    error = as_api_error(away)
    assert (error.code, error.headers) == ("SERVICE_UNAVAILABLE", {"Retry-After": "5"})
    assert "db-1" not in error.message


def test_every_code_of_the_contract_has_its_status() -> None:
    assert {
        status: sorted(code for code in STATUS_OF if STATUS_OF[code] == status) for status in STATUS_OF.values()
    } == {
        400: ["INVALID_REQUEST"],
        401: ["INVALID_API_KEY"],
        402: ["QUOTA_EXCEEDED"],
        403: ["CLIENT_INACTIVE", "DEPLOYMENT_NOT_ALLOWED", "DOMAIN_NOT_ALLOWED"],
        404: ["NOT_FOUND"],
        409: ["IDEMPOTENCY_CONFLICT"],
        413: ["FILE_TOO_LARGE"],
        415: ["UNSUPPORTED_FILE_TYPE"],
        429: ["RATE_LIMITED"],
        500: ["PROCESSING_ERROR"],
        502: ["LLM_ERROR", "VECTOR_SEARCH_ERROR"],
        503: ["SERVICE_UNAVAILABLE"],
        504: ["TIMEOUT"],
    }


BAD = {
    "cut off": (b"{", NOT_JSON),
    "no UTF-8": (b'{"rating": "\xff"}', NOT_JSON),
    "no number": (b'{"rating": NaN}', NOT_JSON),
    "too deep": (b"[" * 100_000, NOT_JSON),
    "too many digits": (b'{"rating": ' + b"9" * 5_000 + b"}", NOT_JSON),
    "a list": (b"[]", NO_OBJECT),
    "nothing": (b"null", NO_OBJECT),
}


@pytest.mark.parametrize("body, message", BAD.values(), ids=BAD)
@pytest.mark.parametrize("path", [FEEDBACK, "/api/widget/process-document", "/api/widget/internal/validate-client"])
def test_a_body_that_is_no_json_object_is_refused_in_our_own_words(
    db: None, path: str, body: bytes, message: str
) -> None:
    told(Browser().post(path, body, content_type="application/json", headers=EXPRESS), 400, "INVALID_REQUEST", message)


@pytest.mark.parametrize("charset", ["", "; charset=UTF-8", ";charset=utf8"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_before_json_is_passed_over(db: None, charset: str, mark: bytes) -> None:
    body = mark + '{"apiKey": "pk_live_\u00fc"}'.encode()
    path, kind = "/api/widget/internal/validate-client", f"application/json{charset}"
    response = Browser().post(path, body, content_type=kind, headers=EXPRESS)
    assert (response.status_code, response.json()["valid"]) == (200, False)


@pytest.mark.parametrize(
    "body",
    [
        {"content_type": "multipart/form-data; boundary=x", "data": FIELDS},
        {"content_type": "multipart/form-data; boundary=x", "data": FILES},
        {"content_type": "application/x-www-form-urlencoded", "data": "&".join(f"{n}=x" for n in range(3_000))},
        {"content_type": "multipart/form-data", "data": b"--x--"},
    ],
)
def test_a_form_that_can_t_be_read_is_refused_in_our_own_words(db: None, body: dict[str, Any]) -> None:
    response = Browser().post("/api/widget/process-document", **body, headers=EXPRESS)
    told(response, 400, "INVALID_REQUEST", UNREADABLE)


NOWHERE = "There is nothing at this address."


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/nothing",
        "/api/clients/x/limits",
        "/api/widget/chat/",
        "/api/widget/chat/stream/abc",
        "/api/widget/config/",
        "/api/widget/sessions/abc/messages",
        "/api/widget/messages/abc/feedback",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_address_of_the_api_that_leads_nowhere_says_so_in_json(db: None, method: str, path: str) -> None:
    told(Browser(enforce_csrf_checks=True).generic(method, path), 404, "NOT_FOUND", NOWHERE)


@pytest.mark.parametrize("path", ["/nothing", "/admin/nothing", "/widget/v9/widget.js"])
def test_pages_that_are_not_there_are_told_to_people(admin_client: Browser, path: str) -> None:
    response = admin_client.get(path)
    assert (response.status_code, response["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize("path", ["/api/widget/config", "/api/widget/health", "/health", "/api/nothing"])
def test_a_host_that_is_not_ours_is_told_so_in_json(db: None, path: str) -> None:
    response = Browser().get(path, headers={"Host": "evil.example.net"})
    told(response, 400, "INVALID_REQUEST", "This service does not go by that host name.")
    assert b"evil" not in response.content


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_what_can_only_be_read_says_so(db: None, method: str) -> None:
    browser = Browser(enforce_csrf_checks=True)
    for path in ("/api/widget/health", "/health", "/health/live", "/health/ready"):
        response = browser.generic(method, path)
        told(response, 405, "INVALID_REQUEST", f"{method} is not possible at this address.")
        assert response["Allow"] == "GET, HEAD"
    for path in ("/widget/version", "/widget/v2/widget.js", "/widget/v2/0123456789abcdef/widget.js"):
        response = browser.generic(method, path)
        assert (response.status_code, response["Allow"], response.content) == (405, "GET, HEAD", b"")


def test_a_fault_outside_the_framework_s_views_is_told_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_remembered", None)  # can't be unpacked
    response = Browser(raise_request_exception=False).get("/api/widget/health")
    told(response, 500, "PROCESSING_ERROR", "Something went wrong on our side. Please try again.")


def told(response: Any, status: int, code: str, message: str) -> None:
    """The contract's error, whole."""
    trace_id = response["X-Request-ID"]
    error = {"code": code, "message": message, "details": {}}
    assert (response.status_code, response.json()) == (
        status,
        {"error": error, "message": message, "traceId": trace_id},
    )


def test_ids_of_requests_grow_with_the_time_and_are_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the indexes of answers and ledger grow at one end; within a millisecond any order will do."""
    before = [new_trace_id() for _ in range(1000)]
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 2_000_000)
    after = new_trace_id()
    assert max(before) < after and len(set(before)) == 1000
    assert after.int >> 80 == (now + 2_000_000) // 1_000_000
    assert {(id.version, id.variant) for id in before} == {(7, uuid.RFC_4122)}
    spread = [sum(id.int >> bit & 1 for id in before) for bit in (*range(62), *range(64, 76))]
    assert min(spread) > 300 and max(spread) < 700  # all 74 bits are random
