"""The description of the API is complete, and true: what it allows is answered as it says."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.urls import get_resolver
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks, not_a_server_error

from chat import routing
from config.openapi.hooks import OPERATIONS
from tests.flows.product import Product, served
from tests.isolation.test_routes import walk

load_all_checks()
TRUE = [CHECKS.get_one(f"{name}_conformance") for name in ("status_code", "content_type", "response_schema")] + [
    not_a_server_error
]
# Pages, files and this description itself, which are not the API.
NOT_DESCRIBED = {"", "api/schema", "api/docs"}


def described() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


def test_the_description_is_valid_and_every_route_is_in_it() -> None:
    schema = described()
    validate_schema(schema)
    assert {(path, method) for path, item in schema["paths"].items() for method in item} == set(OPERATIONS)
    routes = {route for route in walk(get_resolver().url_patterns) if not route.startswith(("admin/", "^widget/"))}
    routes |= {str(route.pattern) for route in routing.http_routes}
    assert len(routes - NOT_DESCRIBED) == len(schema["paths"])


def test_the_events_and_the_socket_are_described_in_words() -> None:
    schema = described()
    stream = schema["paths"]["/api/widget/chat/stream"]["post"]
    assert all(f"`{event}`" in stream["description"] for event in ("start", "chunk", "sources", "usage", "done"))
    assert "/ws/widget/chat" in schema["info"]["description"] and "4401" in schema["info"]["description"]


def test_nothing_of_the_page_comes_from_elsewhere(client: Any) -> None:
    assert b"//cdn" not in client.get("/api/docs").content
    assert b"swagger-ui-bundle.js" in client.get("/api/docs").content


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with served(tmp_path_factory.mktemp("openapi"), EMAIL_URL="dummymail://") as product:
        yield product


@pytest.fixture(scope="module")
def client_id(product: Product) -> str:
    body = {"apiKey": product.widget_key}
    status, found = product.json("POST", "/api/widget/internal/validate-client", body, X_Internal_Secret=product.secret)
    assert status == 200
    return found["clientId"]


@pytest.fixture(scope="module")
def api() -> Any:
    return schemathesis.openapi.from_dict(json.loads(json.dumps(described(), default=str)))


@pytest.mark.parametrize("path, method", sorted(OPERATIONS))
def test_every_route_answers_as_described(path: str, method: str, api: Any, product: Product, client_id: str) -> None:
    @settings(max_examples=10, phases=[Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=api[path][method.upper()].as_strategy())
    def attempt(case: Any) -> None:
        erases = path.endswith("/erasure")  # the demo client is needed by the others
        if "client_id" in (case.path_parameters or {}) and not erases:
            case.path_parameters["client_id"] = client_id
        headers = credentials(case, product, client_id)
        response = case.call(base_url=product.url, headers=headers, timeout=20)
        case.validate_response(response, checks=TRUE)
        assert response.headers["x-request-id"] == [headers["X-Request-ID"]]

    attempt()


def credentials(case: Any, product: Product, client_id: str) -> dict[str, str]:
    """Headers of a caller that the route is for; Express names the demo client in query and body."""
    names = {name for row in OPERATIONS[case.operation.path, case.method.lower()].security for name in row}
    headers = {"X-Request-ID": str(uuid.uuid4())}
    if "widgetKey" in names:
        return {**headers, "x-api-key": product.widget_key}
    if "internalSecret" in names:
        case.query = {**(case.query or {}), "clientId": client_id}
        if isinstance(case.body, dict) and "documentId" in case.body:
            case.body["clientId"] = client_id
        headers["X-Internal-Secret"] = product.secret
    return headers
