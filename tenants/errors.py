"""The one language of errors: a code decides its status; doors translate, nobody invents another."""

from collections.abc import Mapping
from typing import Any

STATUS_OF = {
    "INVALID_REQUEST": 400,
    "INVALID_API_KEY": 401,
    "QUOTA_EXCEEDED": 402,
    "CLIENT_INACTIVE": 403,
    "DOMAIN_NOT_ALLOWED": 403,
    "DEPLOYMENT_NOT_ALLOWED": 403,
    "NOT_FOUND": 404,
    "IDEMPOTENCY_CONFLICT": 409,
    "FILE_TOO_LARGE": 413,
    "UNSUPPORTED_FILE_TYPE": 415,
    "RATE_LIMITED": 429,
    "PROCESSING_ERROR": 500,
    "LLM_ERROR": 502,
    "VECTOR_SEARCH_ERROR": 502,
    "SERVICE_UNAVAILABLE": 503,
    "TIMEOUT": 504,
}


class ApiError(Exception):
    """What a caller is told. `message` is for a person and holds nothing internal; `headers` join the response."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.code = code
        self.status = STATUS_OF[code]
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def body(self, trace_id: str) -> dict[str, Any]:
        """The contract's error body. Widgets in the field read the top-level `message`."""
        error = {"code": self.code, "message": self.message, "details": self.details}
        return {"error": error, "message": self.message, "traceId": trace_id}
