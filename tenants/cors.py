"""Cross-origin headers of the widget's routes. They follow the same decision as the request itself.

The widget sends its key in a header and no cookie, so `Access-Control-Allow-Credentials` is never sent.
"""

from collections.abc import Mapping

from tenants.callers import key_allows_origin

REQUEST_HEADERS = "content-type, x-api-key, x-session-token, x-request-id, idempotency-key, last-event-id"
RESPONSE_HEADERS = "X-Request-ID, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After"
PREFLIGHT_SECONDS = "7200"  # the longest that Chromium remembers


def cors_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What to add to every response, errors too: the origin is echoed if the key's client allows it.

    Takes the request's headers (case-insensitive or lower-case names). May query, like `authenticate`.
    """
    origin = headers.get("origin", "")
    if not origin or not key_allows_origin(headers.get("x-api-key", "").strip(), origin):
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": RESPONSE_HEADERS,
    }


def preflight_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What to answer `OPTIONS` with, beside status 204. It carries no key: the real request is judged."""
    origin = headers.get("origin", "")
    if not origin:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": REQUEST_HEADERS,
        "Access-Control-Max-Age": PREFLIGHT_SECONDS,
    }
