"""drf-spectacular's hooks: it lists the routes and serves the document, the tables say what is in it."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

from config.openapi import channels, operations
from config.openapi.shapes import COMPONENTS

OPERATIONS = {**operations.OPERATIONS, **channels.OPERATIONS}
LIMIT_HEADERS = {
    name: {"schema": {"type": "integer"}, "description": meaning}
    for name, meaning in {
        "X-RateLimit-Limit": "requests of this hour",
        "X-RateLimit-Remaining": "left of them",
        "X-RateLimit-Reset": "Unix seconds of the hour's end",
    }.items()
}


class Schema(AutoSchema):
    """One operation: its row of the table. Nothing is guessed from serializers."""

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Any:
        row = OPERATIONS.get((path, method.lower()))
        return row.as_openapi(path, method.lower()) if row else None


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """POSTPROCESSING_HOOKS: the routes that DRF does not know, the components, and the words."""
    for (path, method), operation in OPERATIONS.items():
        described = operation.as_openapi(path, method)
        if (path, method) in channels.OPERATIONS:
            _finish_chat(described, operation)
        result["paths"].setdefault(path, {})[method] = described
    result["components"] = {"schemas": COMPONENTS, "securitySchemes": operations.SECURITY_SCHEMES}
    result["info"]["description"] = channels.WEBSOCKET
    return result


def _finish_chat(described: dict[str, Any], operation: operations.Operation) -> None:
    answer = described["responses"]["200"]
    if operation.answers[200] == "Events":
        answer.update(description="The events.", content=channels.EVENT_STREAM)
    if "429" in described["responses"]:
        answer["headers"] = LIMIT_HEADERS
