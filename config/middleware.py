"""A trace id on every response, and the admin's explicit scope."""

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
