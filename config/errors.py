"""An exception becomes a response in one place; tenants/errors.py says which error it is."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework.response import Response

from tenants.errors import ApiError, as_api_error, unforeseen

API = ("api", "health")  # beginnings of the addresses that programs call; elsewhere are pages, for people


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER."""
    api_error = as_api_error(error)
    trace_id = context["request"]._request.trace_id
    return Response(api_error.body(trace_id), status=api_error.status, headers=api_error.headers)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a host name that is not ours, for one."""
    return _told(request, as_api_error(exception)) if _is_api(request) else defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return _told(request, as_api_error(exception)) if _is_api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500; Django has logged the exception."""
    return _told(request, unforeseen()) if _is_api(request) else defaults.server_error(request)


def read_only(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """GET and HEAD alone: any other method is told so with 405, instead of Django's page about CSRF."""

    @csrf_exempt
    @functools.wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        message = f"{request.method} is not possible at this address."
        response = _told(request, ApiError("INVALID_REQUEST", message, headers={"Allow": "GET, HEAD"}))
        response.status_code = 405
        return response

    return checked


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.strip("/").partition("/")[0] in API


def _told(request: HttpRequest, error: ApiError) -> HttpResponse:
    trace_id = request.trace_id  # type: ignore[attr-defined]
    return JsonResponse(error.body(trace_id), status=error.status, headers=error.headers)
