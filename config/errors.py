"""An exception becomes a response in one place; tenants/errors.py says which error it is."""

from typing import Any

from rest_framework.response import Response

from tenants.errors import as_api_error


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER."""
    api_error = as_api_error(error)
    trace_id = context["request"]._request.trace_id
    return Response(api_error.body(trace_id), status=api_error.status, headers=api_error.headers)
