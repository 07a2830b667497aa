"""Every route, with every kind of caller, with another client's ids at every place where an id can stand.

A foreign id must get exactly the answer of an id that nobody has: status, headers, body, and the same SQL.
"""

import copy
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import get_commands
from django.db import connection, transaction
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from chat import routing
from tenants.models import ApiKey, Client
from tenants.scoping import client_scope
from tenants.visitors import session_token
from tests.isolation.rows import OWNED, canary, furnish
from tests.isolation.table import COMMANDS, CONSUMERS, JOBS, ROUTES, WEBSOCKETS, Route
from tests.isolation.world import Ids, World, build

BROWSER = Browser()  # one: each sets up its middleware anew
KINDS = ("client", "document", "document row", "chunk", "session", "trace")
SHAPE = {"document": "text", "document row": "number"}
NAMES = ("clientId", "documentId", "sessionId", "traceId", "chunkId", "id")  # under which a caller may send an id


@pytest.fixture
def world(acme: Client, stranger: Client) -> World:
    return build(acme, stranger)


# --- the table is complete ---------------------------------------------------------------------------------------


def walk(patterns: Any, prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route


def test_every_route_has_its_row() -> None:
    routed = {route for route in walk(get_resolver().url_patterns) if not route.startswith("admin/")}
    assert routed == {route.pattern for route in ROUTES}
    assert [str(route.pattern) for route in routing.http_routes] == [route.pattern for route in CONSUMERS]
    assert [str(route.pattern) for route in routing.websocket_routes] == WEBSOCKETS


def test_every_command_and_job_has_its_row() -> None:
    ours = ("config", "chat", "knowledge", "billing", "tenants")
    assert {name for name, app in get_commands().items() if app in ours} == set(COMMANDS)
    jobs = set()
    for app in ours:
        try:
            module = __import__(f"{app}.tasks", fromlist=["tasks"])
        except ModuleNotFoundError:
            continue
        found = [
            name for name, value in vars(module).items() if callable(value) and value.__module__ == module.__name__
        ]
        jobs |= {f"{app}.tasks.{name}" for name in found if not name.startswith("_")}
    assert jobs == JOBS


# --- the attempts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """A request with a `#` where an id of one kind stands."""

    route: Route
    caller: str
    place: str
    kind: str


def attempts(routes: list[Route], callers: Any) -> Iterator[Attempt]:
    for route in routes:
        in_path = set(re.findall(r"{([a-z ]+)}", route.path))
        for caller in callers:
            for kind in KINDS if route.scope else KINDS[:1]:
                if kind in in_path and not (caller.startswith("internal") and kind == "client"):
                    yield Attempt(route, caller, "path", kind)
                for name in NAMES:
                    if caller.startswith("internal") and name == "clientId":
                        continue  # Express may act for any client, which it names so
                    yield Attempt(route, caller, f"query {name}", kind)
                    if route.body is not None:
                        yield from (
                            Attempt(route, caller, f"{place} {name}", kind) for place in ("body", "nested", "array")
                        )


def fill(attempt: Attempt, ids: Ids, world: World) -> tuple[str, dict[str, Any] | None, dict[str, str]]:
    """Path with query, body and headers. The path's other ids are those that nobody has."""
    route, id = attempt.route, ids[attempt.kind]
    path = route.path
    for kind in re.findall(r"{([a-z ]+)}", route.path):
        path = path.replace(
            "{" + kind + "}", id if (attempt.place, attempt.kind) == ("path", kind) else world.absent[kind]
        )
    body = copy.deepcopy(route.body)
    place, _, name = attempt.place.partition(" ")
    query = {name: id} if place == "query" else {}
    if body is not None and place == "body":
        body[name] = id
    elif body is not None and place == "nested":
        body["metadata"] = {name: id, "customFields": {name: {"id": id}}}
    elif body is not None and place == "array":
        body[name] = [id, {"id": id}]
    if attempt.caller.startswith("internal"):
        query["clientId"] = str(world.stranger.pk)
        if body is not None and route.pattern != "api/clients/<id:client_id>/limits":
            body.setdefault("clientId", str(world.stranger.pk))
    token = session_token(world.acme.pk, uuid.UUID(world.foreign["session"]))  # stolen from Acme's visitor
    headers = {**world.callers[attempt.caller], "X-Session-Token": token}
    return path + ("?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else ""), body, headers


def answer_of(attempt: Attempt, ids: Ids, world: World) -> tuple[Any, str]:
    """Everything that a caller can see of the response, with its own id and what is new every time taken out."""
    path, body, headers = fill(attempt, ids, world)
    content = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    try:
        with transaction.atomic():
            response = BROWSER.generic(attempt.route.method, path, headers=headers, **content)
            BROWSER.cookies.clear()
            seen = _seen(response.status_code, dict(response.headers), _text(response))
            raise Undo
    except Undo:
        return _without(seen, ids[attempt.kind]), seen


class Undo(Exception):
    """Each attempt starts from the same rows."""


def _text(response: Any) -> str:
    return b"".join(response.streaming_content).decode() if response.streaming else response.content.decode()


def _seen(status: int, headers: dict[str, str], text: str) -> str:
    for name in ("X-Request-ID", "Date"):
        headers.pop(name, None)
    text = re.sub(r'"(traceId|timestamp|sessionToken|from|to|resetAt)": ?"[^"]*"', r'"\1":"…"', text)
    return f"{status} {sorted(headers.items())} {text}"


def _without(seen: str, id: str) -> str:
    """Lengths change with the id that is echoed; a number is an id only where it stands in quotes."""
    seen = seen.replace(f'"{id}"', '"#"') if id.isdigit() else seen.replace(id, "#")
    return re.sub(r"\('Content-Length', '\d+'\)", "", seen)


def compare(chosen: list[Attempt], world: World) -> int:
    """How many requests were made. What an absent id is told does not depend on its kind, only on its shape."""
    told: dict[tuple[str, str, str, str], str] = {}
    before = everything(world.acme)
    for attempt in chosen:
        shape = attempt.kind if attempt.place == "path" else SHAPE.get(attempt.kind, "uuid")
        key = (attempt.route.pattern, attempt.caller, attempt.place, shape)
        if key not in told:
            told[key], _ = answer_of(attempt, world.absent, world)
        foreign, seen = answer_of(attempt, world.foreign, world)
        assert foreign == told[key], attempt
        assert canary(world.acme) not in seen.replace(world.foreign[attempt.kind], "#"), attempt
    assert everything(world.acme) == before
    return len(chosen) + len(told)


def test_a_foreign_id_is_answered_like_one_that_nobody_has(world: World) -> None:
    """Every route, caller and place; the kinds of ids take turns. The soak makes every combination."""
    grouped: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in attempts(ROUTES, world.callers):
        grouped.setdefault((attempt.route.pattern, attempt.caller), []).append(attempt)
    chosen = []
    for turn, every in enumerate(grouped.values()):
        chosen += [attempt for attempt in every if attempt.place == "path"]
        chosen += every[turn % 5 :: max(len(every) // 4, 1)]
    assert compare(chosen, world) > 1_000


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_ten_thousand_attempts_leak_nothing(world: World) -> None:
    assert compare(list(attempts(ROUTES, world.callers)), world) > 10_000


def test_the_data_under_attack_is_really_there(world: World) -> None:
    """The same requests with Acme's own keys succeed, so that a leak would have something to leak."""
    for route in ROUTES:
        for name, headers in world.own.items():
            if route.scope is not None and not _works(route, name):
                continue
            path = route.path
            for kind in re.findall(r"{([a-z ]+)}", route.path):
                path = path.replace("{" + kind + "}", world.foreign[kind])
            token = session_token(world.acme.pk, uuid.UUID(world.foreign["session"]))
            body = route.body and {**route.body, **({"clientId": str(world.acme.pk)} if name == "internal" else {})}
            content = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
            try:
                with transaction.atomic():
                    response = BROWSER.generic(
                        route.method,
                        path + (f"?clientId={world.acme.pk}" if name == "internal" else ""),
                        headers={**headers, "X-Session-Token": token},
                        **content,
                    )
                    assert response.status_code == route.own, (route, name, response.content[:300])
                    raise Undo
            except Undo:
                continue


def _works(route: Route, caller: str) -> bool:
    if route.internal_only:
        return caller == "internal"
    return caller != "publishable" or route.scope == "chat"


def test_a_foreign_id_runs_the_same_sql_as_one_that_nobody_has(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it takes the same time, whatever the clock says."""
    monkeypatch.setattr("tenants.callers.REMEMBER_SECONDS", 3600)
    for route in ROUTES:
        for kind in re.findall(r"{([a-z ]+)}", route.path):
            for caller in ("stranger's publishable key", "stranger's secret key", "internal for the stranger"):
                if caller.startswith("internal") and kind == "client":
                    continue  # Express may act for any client
                attempt = Attempt(route, caller, "path", kind)
                answer_of(attempt, world.absent, world)  # whatever is remembered from the first time on
                foreign, absent = (
                    _sql(partial(answer_of, attempt, ids, world), ids[kind]) for ids in (world.foreign, world.absent)
                )
                assert foreign == absent, attempt


def _sql(ask: Any, id: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        ask()
    return [
        re.sub(r'"s\d+_x\d+"', "", query["sql"]).replace(id, "#").replace(id.replace("-", ""), "#")
        for query in captured.captured_queries
    ]


def everything(client: Client) -> Any:
    with client_scope(client.pk):
        rows = {
            model.__name__: list(model._default_manager.order_by("pk").values())
            for model in OWNED
            if model is not ApiKey
        }
    return rows, list(Client.objects.filter(pk=client.pk).values())


# --- the admin ---------------------------------------------------------------------------------------------------


def test_the_admin_shows_callers_nothing_but_its_login_page(world: World) -> None:
    rows = furnish(Client.objects.create(name="Third", tier=Client.Tier.PAID))
    for model in admin.site._registry:
        name = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        pk = rows[model].pk if model in rows else 1
        for path in (name, f"{name}add/", f"{name}{pk}/change/", f"{name}{pk}/delete/", f"{name}{pk}/history/"):
            for caller, headers in world.callers.items():
                response = BROWSER.get(path, headers=headers)
                assert response.status_code == 302 and response["Location"].startswith("/admin/login/"), (path, caller)


def test_every_clients_model_in_the_admin_works_for_staff(world: World, admin_client: Browser) -> None:
    """Support staff work across clients, through an explicit scope, in views and in templates alike."""
    for model in admin.site._registry:
        if apps.get_model(model._meta.label) not in OWNED:
            continue
        response = admin_client.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/")
        assert response.status_code == 200, model
