"""An ApiError becomes a response in one place, for DRF and for the consumers."""

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from tenants.errors import ApiError

log = structlog.get_logger(__name__)


def as_api_error(error: Exception) -> ApiError:
    """Any exception in the contract's language; what nobody foresaw is logged and told as PROCESSING_ERROR."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, exceptions.ValidationError):
        return ApiError("INVALID_REQUEST", _first_message(error.detail), details={"fields": error.detail})
    if isinstance(error, RequestDataTooBig):
        return ApiError("FILE_TOO_LARGE", "The request is too large.")
    if isinstance(error, Http404 | exceptions.NotFound):
        return ApiError("NOT_FOUND", "There is nothing at this address.")
    if isinstance(error, exceptions.APIException) and error.status_code < 500:
        return ApiError("INVALID_REQUEST", str(error.detail))
    if isinstance(error, PermissionDenied):
        return ApiError("NOT_FOUND", "There is nothing at this address.")
    log.error("unforeseen error", exc_info=error)
    return ApiError("PROCESSING_ERROR", "Something went wrong on our side. Please try again.")


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER."""
    api_error = as_api_error(error)
    trace_id = context["request"]._request.trace_id
    return Response(api_error.body(trace_id), status=api_error.status, headers=api_error.headers)


def _first_message(detail: Any, field: str = "") -> str:
    """The first message of a DRF error tree, with the name of its field."""
    if isinstance(detail, dict):
        name, inner = next(iter(detail.items()))
        return _first_message(inner, "" if name == "non_field_errors" else str(name))
    if isinstance(detail, list):
        return _first_message(detail[0], field)
    return f"{field}: {detail}" if field else str(detail)
