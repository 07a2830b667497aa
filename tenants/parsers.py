"""Bodies of Django REST framework's routes."""

from typing import Any

from rest_framework import parsers
from rest_framework.exceptions import ParseError

from tenants.errors import ApiError


class JSONParser(parsers.JSONParser):
    """A JSON object, or ApiError 400. The framework's own tells Python's words for what is wrong, fails over a body
    that is nested too deeply, and refuses the byte order mark that editors and shells on Windows put in front."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        context = dict(parser_context or {})
        if context.get("encoding", "utf-8").lower() in ("utf-8", "utf8"):
            context["encoding"] = "utf-8-sig"
        try:
            value = super().parse(stream, media_type, context)
        except (ParseError, RecursionError) as error:
            raise ApiError("INVALID_REQUEST", "The request body is not valid JSON.") from error
        if not isinstance(value, dict):
            raise ApiError("INVALID_REQUEST", "The request body is not a JSON object.")
        return value
