"""A trace id and security headers on every response, and the admin's explicit scope."""

import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import structlog
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import Resolver404, resolve, reverse
from django.utils.cache import patch_vary_headers

from tenants import audit, staff, tracing, two_factor
from tenants.errors import trace_id_of


class TraceMiddleware:
    """request.trace_id, the X-Request-ID header and the log context."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        trace_id = request.trace_id = trace_id_of(request.headers.get("X-Request-ID"))  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        try:
            with tracing.span("request", http_request_method=request.method or ""):
                response = self.get_response(request)
        finally:
            structlog.contextvars.clear_contextvars()
        response["X-Request-ID"] = trace_id
        return response


# What a page may load, by the beginning of its path. All of it comes from this host.
_PAGE = (
    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; connect-src 'self'; "
    "font-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
)
CONTENT_POLICIES = (
    # The admin's theme evaluates expressions in attributes; the frame is the widget's preview.
    ("/admin/", _PAGE + "frame-src 'self'; script-src 'self' 'unsafe-eval'"),
    ("/api/docs", _PAGE + "script-src 'self'"),
    ("", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"),  # JSON has no parts
)
READS = ("GET", "HEAD")
POLLED_SECONDS = 3600  # what a page asks for again and again is noted once in so long
API = ("/api/", "/internal/")  # the same address may answer two pages differently: no cache may mix them up
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
        if request.path_info.startswith(API):
            patch_vary_headers(response, ["Origin"])
        return response


class AdminScopeMiddleware:
    """Whose rows a person of the desk sees: one client's, or, noted in the audit, every client's.

    Views and their templates run inside that scope. A view with the attribute `scopes_itself` waits for something
    outside (a model, an index), so it opens its scopes itself, briefly; what it may touch it asks of `staff`.
    """

    OPEN = {"admin:login", "admin:logout", "admin:jsi18n"}  # need nobody's rows

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user: Any = getattr(request, "user", None)
        if not request.path_info.startswith("/admin/") or user is None:
            return self.get_response(request)
        view, name = _target(request)
        if name in self.OPEN:
            return self.get_response(request)
        if not user.is_staff or not user.is_active:
            return self.get_response(request) if request.method in READS else _to_login(request)
        if staff.too_old(request):
            logout(request)
            return _to_login(request)
        if settings.REQUIRE_TWO_FACTOR and name != "two-factor" and not two_factor.enrolled(user):
            return HttpResponseRedirect(reverse("two-factor"))
        scope = staff.scope(user)  # not entered yet, but whoever has no role is refused here
        if getattr(view, "scopes_itself", False):
            response = self.get_response(request)
            _remember(request, response)
            return response
        with scope:
            response = self.get_response(request)
            if response.status_code >= 500:
                transaction.set_rollback(True)
            else:
                _remember(request, response)
        return response


def _to_login(request: HttpRequest) -> HttpResponse:
    """To the login, and from there back to this page; to that of the form, where one was sent: it is sent anew."""
    page = request.get_full_path()
    if request.method not in READS:
        form = urlsplit(request.headers.get("Referer", ""))
        page = urlunsplit(("", "", form.path, form.query, "")) if form.path.startswith("/admin/") else "/admin/"
        messages.warning(
            request, "You were logged out, so what you sent was not carried out. Log in, and send it again."
        )
    return redirect_to_login(page, reverse("admin:login"))


def _target(request: HttpRequest) -> tuple[Any, str]:
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return None, ""
    return match.func, match.view_name


def _remember(request: HttpRequest, response: HttpResponse) -> None:
    """Note what was seen across clients, and every change that no view has described more exactly."""
    if response.status_code >= 400 or getattr(request, "audited", False):
        return
    if request.method not in READS and 300 <= response.status_code < 400:
        audit.note(request, "post", request.path)
    elif staff.works_for_all(request.user) and not _noted_lately(request):
        about = getattr(request, "audit_about", None) or request.get_full_path()
        audit.note(request, "view", about)


def _noted_lately(request: HttpRequest) -> bool:
    """Is this a view that a page repeats by itself (`request.polled` names what of), and was it noted already?"""
    polled = getattr(request, "polled", "")
    if not polled:
        return False
    digest = hashlib.sha256(f"{audit.actor_of(request)} {request.path} {polled}".encode()).hexdigest()
    try:
        return not cache.add(f"polled:{digest}", 1, POLLED_SECONDS)
    except Exception:  # noqa: BLE001 - whichever cache it is: rather noted twice than not at all
        return False
