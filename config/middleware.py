"""A trace id and security headers on every response, and the admin's explicit scope."""

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from tenants.errors import trace_id_of
from tenants.scoping import unscoped


class TraceMiddleware:
    """request.trace_id, the X-Request-ID header and the log context."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        trace_id = request.trace_id = trace_id_of(request.headers.get("X-Request-ID"))  # type: ignore[attr-defined]
        with structlog.contextvars.bound_contextvars(trace_id=trace_id):
            response = self.get_response(request)
        response["X-Request-ID"] = trace_id
        return response


# What a page may load, by the beginning of its path. All of it comes from this host.
_PAGE = (
    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; connect-src 'self'; "
    "font-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
)
CONTENT_POLICIES = (
    ("/admin/", _PAGE + "script-src 'self' 'unsafe-eval'"),  # the admin's theme evaluates expressions in attributes
    ("/api/docs", _PAGE + "script-src 'self'"),
    ("", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"),  # JSON has no parts
)
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class SecurityHeadersMiddleware:
    """A content security policy and the like, unless the view has set its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        policy = next(policy for start, policy in CONTENT_POLICIES if request.path_info.startswith(start))
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response


class AdminScopeMiddleware:
    """Support staff work across clients: views and lazily rendered templates of the admin run unscoped."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = getattr(request, "user", None)
        if request.path_info.startswith("/admin/") and user is not None and user.is_staff:
            with unscoped("support staff work across clients"):
                return self.get_response(request)
        return self.get_response(request)
