"""The one language of errors: a code decides its status; doors translate, nobody invents another."""

import re
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any

import structlog
from django.core.exceptions import DisallowedHost, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions

log = structlog.get_logger(__name__)
UUID_TEXT = re.compile(r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")

CODES = ("sqlstate", "status_code", "status", "errno", "code", "type")  # as libraries name them
CODE = re.compile(r"[A-Za-z0-9_]{1,40}")

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


def as_api_error(error: Exception) -> ApiError:
    """Any exception in the contract's language; what nobody foresaw is logged and told as PROCESSING_ERROR."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, exceptions.ValidationError):
        return ApiError("INVALID_REQUEST", _first_message(error.detail), details={"fields": error.detail})
    if isinstance(error, RequestDataTooBig):
        return ApiError("FILE_TOO_LARGE", "The request is too large.")
    if isinstance(error, DisallowedHost):
        return ApiError("INVALID_REQUEST", "This service does not go by that host name.")
    if isinstance(error, exceptions.ParseError | SuspiciousOperation):  # their own words are the framework's
        return ApiError("INVALID_REQUEST", "The request can't be read: it is not what its headers say, or too complex.")
    if isinstance(error, Http404 | PermissionDenied):
        return ApiError("NOT_FOUND", "There is nothing at this address.")
    if isinstance(error, exceptions.APIException) and error.status_code < 500:
        return ApiError("INVALID_REQUEST", str(error.detail))
    if isinstance(error, OperationalError | InterfaceError):
        log.error("the database did not answer", error=cause_of(error))
        message = "The service is not available at the moment. Please try again in a few seconds."
        return ApiError("SERVICE_UNAVAILABLE", message, headers={"Retry-After": "5"})
    log.error("unforeseen error", exc_info=error)
    return unforeseen()


def unforeseen() -> ApiError:
    """What is told of an error that nobody foresaw."""
    return ApiError("PROCESSING_ERROR", "Something went wrong on our side. Please try again.")


def cause_of(error: BaseException) -> str:
    """An error for the log: its class, the codes that it carries, and what caused it. Never its own words, which may
    quote what a visitor wrote, a document or a key."""
    codes = [f"{name}={getattr(error, name)}" for name in CODES if CODE.fullmatch(str(getattr(error, name, "")))]
    cause = f" from {cause_of(error.__cause__)}" if error.__cause__ is not None else ""
    return " ".join([type(error).__name__, *codes]) + cause


def trace_id_of(header: str | None) -> str:
    """The caller's own X-Request-ID when it is a UUID, else a new one."""
    return header.lower() if header and UUID_TEXT.match(header) else str(new_trace_id())


def new_trace_id() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): the time in milliseconds, then 74 random bits.

    Answers and the ledger are found by it for ever. New ones come at the end of each client's part of those indexes,
    so that the pages of old months rest, where random ones would change a page anywhere for every answer.
    """
    milliseconds, random = time.time_ns() // 1_000_000, secrets.randbits(74)
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | random >> 62 << 64 | 2 << 62 | random & (1 << 62) - 1)


def _first_message(detail: Any, field: str = "") -> str:
    """The first message of a DRF error tree, with the name of its field if it does not say that itself."""
    if isinstance(detail, dict):
        name, inner = next(iter(detail.items()))
        return _first_message(inner, "" if name == "non_field_errors" else str(name))
    if isinstance(detail, list):
        return _first_message(detail[0], field)
    said = re.search(rf"\b{re.escape(field)}\b", str(detail), re.I)
    return str(detail) if said else f"{field}: {detail}"
