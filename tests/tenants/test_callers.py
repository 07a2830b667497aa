"""Who calls, where from, and for whom."""

import uuid
from typing import Any

import pytest
from django.core.checks import run_checks

from tenants import keys
from tenants.addresses import address_block, client_address
from tenants.callers import Kind, authenticate, require_scope, still_allowed
from tenants.errors import ApiError
from tenants.models import Client
from tenants.visitors import check_session_token, session_token


def code_of(do: Any) -> str:
    with pytest.raises(ApiError) as caught:
        do()
    return caught.value.code


def test_only_the_internal_caller_names_its_client(
    acme: Client, stranger: Client, acme_key: str, settings: Any
) -> None:
    internal = authenticate({"x-internal-secret": settings.INTERNAL_API_SECRET})
    assert (internal.kind, internal.acting_for(str(stranger.pk))) == (Kind.INTERNAL, stranger)
    for nobody in (None, ""):
        assert code_of(lambda n=nobody: internal.acting_for(n)) == "INVALID_REQUEST"
    for nobody in (str(uuid.uuid4()), "x", {"id": str(acme.pk)}, [str(acme.pk)], "0" * 10_000):
        assert code_of(lambda n=nobody: internal.acting_for(n)) == "NOT_FOUND"
    _, secret = keys.mint(acme.pk, "secret", scopes=["chat"])
    for caller in (authenticate({"x-api-key": acme_key}), authenticate({"authorization": f"bearer {secret}"})):
        assert caller.acting_for(str(stranger.pk)) == acme


def test_express_is_refused_for_a_paused_client(acme: Client, settings: Any) -> None:
    Client.objects.update(status=Client.Status.PAUSED)
    internal = authenticate({"x-internal-secret": settings.INTERNAL_API_SECRET})
    assert code_of(lambda: internal.acting_for(acme.pk)) == "CLIENT_INACTIVE"


def test_an_answer_to_express_ends_with_its_client_alone(acme: Client, stranger: Client, settings: Any) -> None:
    internal = authenticate({"x-internal-secret": settings.INTERNAL_API_SECRET})
    assert still_allowed(internal, acme.pk)
    Client.objects.filter(pk=acme.pk).update(status=Client.Status.PAUSED)
    assert (still_allowed(internal, acme.pk), still_allowed(internal, stranger.pk)) == (False, True)


def test_both_internal_secrets_work_while_they_are_rotated(settings: Any) -> None:
    settings.INTERNAL_API_SECRET, settings.INTERNAL_API_SECRET_PREVIOUS = "new" * 20, "old" * 20
    for secret in ("new" * 20, "old" * 20):
        assert authenticate({"x-internal-secret": secret}).kind is Kind.INTERNAL
    settings.INTERNAL_API_SECRET_PREVIOUS = ""
    for secret in ("old" * 20, "", "new" * 19):
        assert code_of(lambda s=secret: authenticate({"x-internal-secret": s})) == "INVALID_API_KEY"


def test_no_internal_secret_lets_nobody_in(settings: Any) -> None:
    settings.INTERNAL_API_SECRET = settings.INTERNAL_API_SECRET_PREVIOUS = ""
    assert code_of(lambda: authenticate({"x-internal-secret": ""})) == "INVALID_API_KEY"


@pytest.mark.parametrize(
    ("current", "previous", "fails"),
    [("", "", True), ("short", "", True), ("a" * 31, "", True), ("a" * 32, "", False), ("a" * 32, "short", True)],
)
def test_a_deployment_needs_a_long_internal_secret(settings: Any, current: str, previous: str, fails: bool) -> None:
    settings.INTERNAL_API_SECRET, settings.INTERNAL_API_SECRET_PREVIOUS = current, previous
    found = [message.id for message in run_checks(tags=["security"], include_deployment_checks=True)]
    assert ("tenants.E004" in found) is fails


def test_a_secret_key_works_for_its_scopes_only(acme: Client, acme_key: str, settings: Any) -> None:
    _, secret = keys.mint(acme.pk, "secret", scopes=["documents"])
    able = {
        "widget": authenticate({"x-api-key": acme_key}),
        "server": authenticate({"authorization": f"Bearer {secret}"}),
        "internal": authenticate({"x-internal-secret": settings.INTERNAL_API_SECRET}),
    }
    works = set()
    for name, caller in able.items():
        for scope in keys.SCOPES:
            try:
                require_scope(caller, scope)
                works.add((name, scope))
            except ApiError as error:
                assert error.code == "INVALID_API_KEY"
    assert works == {
        ("widget", "chat"),
        ("server", "documents"),
        ("internal", "chat"),
        ("internal", "documents"),
        ("internal", "usage"),
    }


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # nobody vouches for it
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # the visitor wrote the first one
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "2001:DB8:0:0::1", "2001:db8::1"),
        ("10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (None, "198.51.100.1", ""),
        ("", None, ""),
    ],
)
def test_the_visitors_address_behind_proxies(settings: Any, peer: Any, forwarded: Any, address: str) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8", "2001:db8:ffff::/48"]
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    assert client_address(peer, headers) == address


def test_a_visitor_does_not_get_a_new_limit_with_each_of_its_addresses() -> None:
    assert address_block("2001:db8::1") == address_block("2001:db8::ffff:1") == "2001:db8::/64"
    assert address_block("198.51.100.1") == "198.51.100.1"


def test_a_session_token_is_bound_to_its_client_and_session(settings: Any) -> None:
    client, other, session = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    token = session_token(client, session)
    assert check_session_token(client, session, token)
    for wrong in (None, "", token[:-1], token + "0", token.upper(), "é", session_token(other, session)):
        assert not check_session_token(client, session, wrong)
    assert not check_session_token(other, session, token)
    assert not check_session_token(client, uuid.uuid4(), token)
    assert not check_session_token(session, client, token)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another " * 8, [settings.SECRET_KEY]
    assert check_session_token(client, session, token)
    settings.SECRET_KEY_FALLBACKS = []
    assert not check_session_token(client, session, token)
