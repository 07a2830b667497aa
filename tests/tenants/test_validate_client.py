"""Express asks whose key a widget showed."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client as Browser
from django.utils import timezone

from tenants import keys
from tenants.models import Client

ROUTE = "/api/widget/internal/validate-client"
INVALID = {"valid": False, "errorMessage": "The API key is missing or not valid."}


def ask(body: Any, **headers: str) -> Any:
    return Browser().post(ROUTE, body, content_type="application/json", headers=headers)


def ask_as_express(key: Any) -> Any:
    return ask({"apiKey": key}, **{"X-Internal-Secret": settings.INTERNAL_API_SECRET}).json()


def test_a_good_key_is_its_clients(acme: Client, stranger: Client, acme_key: str, stranger_key: str) -> None:
    acme.allowed_domains = ["acme.example"]
    acme.save()
    assert ask_as_express(acme_key) == {
        "valid": True,
        "clientId": str(acme.pk),
        "tier": "paid",
        "model": settings.PAID_MODEL,
        "allowedDomains": ["acme.example"],
    }
    assert ask_as_express(stranger_key)["clientId"] == str(stranger.pk)


def test_every_bad_key_is_the_same_answer(acme: Client, acme_key: str) -> None:
    revoked, revoked_key = keys.mint(acme.pk, "publishable")
    keys.revoke(revoked)
    _, expired_key = keys.mint(acme.pk, "publishable", expires=timezone.now() - timedelta(seconds=1))
    _, secret_key = keys.mint(acme.pk, "secret", scopes=["chat"])
    for key in (revoked_key, expired_key, secret_key, acme_key[:-1] + "!", "pk_live_", "nonsense"):
        assert ask_as_express(key) == INVALID


def test_a_paused_clients_key_is_not_valid(acme: Client, acme_key: str) -> None:
    Client.objects.update(status=Client.Status.PAUSED)
    assert ask_as_express(acme_key) == {"valid": False, "errorMessage": "This chat is switched off at the moment."}


@pytest.mark.parametrize(
    "body", [{}, *({"apiKey": key} for key in ("", " ", None, 5, True, ["x"], {"a": 1}, "x" * 201))]
)
def test_what_can_t_be_a_key_is_answered_like_any_bad_key(db: None, body: Any) -> None:
    response = ask(body, **{"X-Internal-Secret": settings.INTERNAL_API_SECRET})
    assert (response.status_code, response.json()) == (200, INVALID)


@pytest.mark.parametrize("body", [[], "x", 5])
def test_a_body_that_is_no_object_is_invalid(db: None, body: Any) -> None:
    response = ask(body, **{"X-Internal-Secret": settings.INTERNAL_API_SECRET})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_REQUEST")


def test_only_express_may_ask(acme: Client, acme_key: str) -> None:
    _, secret_key = keys.mint(acme.pk, "secret", scopes=list(keys.SCOPES))
    for headers in (
        {},
        {"X-Api-Key": acme_key},
        {"Authorization": f"Bearer {secret_key}"},
        {"X-Internal-Secret": ""},
        {"X-Internal-Secret": settings.INTERNAL_API_SECRET + "x"},
        {"X-Internal-Secret": "wrong", "X-Api-Key": acme_key},
    ):
        response = ask({"apiKey": acme_key}, **headers)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "INVALID_API_KEY")
        assert response["X-Request-ID"] == response.json()["traceId"]
