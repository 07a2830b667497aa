"""Bodies of Django REST framework's routes."""

from typing import Any

from rest_framework import parsers
from rest_framework.exceptions import ParseError

from tenants.errors import ApiError


class JSONParser(parsers.JSONParser):
    """A JSON object, or ApiError 400. The framework's own tells Python's words for what is wrong, and fails over a body
    that is nested too deeply."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            value = super().parse(stream, media_type, parser_context)
        except (ParseError, RecursionError) as error:
            raise ApiError("INVALID_REQUEST", "The request body is not valid JSON.") from error
        if not isinstance(value, dict):
            raise ApiError("INVALID_REQUEST", "The request body is not a JSON object.")
        return value
