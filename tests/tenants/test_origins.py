"""Where a widget may run: the classic mistakes of comparing origins."""

import re
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from tenants import keys
from tenants.callers import authenticate, headers_of
from tenants.cors import cors_headers, preflight_headers
from tenants.errors import ApiError
from tenants.models import Client
from tenants.origins import _parse_pattern, origin_allowed, parse_origin, validate_domains


def allowed(origin: str, *domains: str) -> bool:
    parsed = parse_origin(origin)
    return parsed is not None and origin_allowed(parsed, list(domains))


@pytest.mark.parametrize(
    ("origin", "domain"),
    [
        ("https://example.com", "example.com"),
        ("http://example.com", "example.com"),
        ("https://EXAMPLE.com", "Example.COM"),
        ("https://example.com:443", "example.com"),
        ("https://example.com.", "example.com"),
        ("https://example.com", "example.com."),
        ("https://example.com", "example.com/"),
        ("https://example.com", "https://example.com"),
        ("https://example.com/page?x=1#y", "example.com"),  # a Referer
        ("http://localhost:3000", "localhost:3000"),
        ("http://localhost:3999", "localhost:*"),
        ("https://a.example.com", "*.example.com"),
        ("https://a.b.example.com", "*.example.com"),
        ("https://a.example.com:8443", "https://*.example.com:8443"),
        ("https://xn--bcher-kva.example", "bücher.example"),
        ("https://BÜCHER.example", "xn--bcher-kva.example"),
        ("https://bücher.example", "BÜCHER.example"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://[0:0:0:0:0:0:0:1]", "[::1]"),
    ],
)
def test_allowed(origin: str, domain: str) -> None:
    assert allowed(origin, domain)
    assert allowed(origin, "other.example", domain)
    validate_domains([domain])


@pytest.mark.parametrize(
    ("origin", "domain"),
    [
        ("https://evilexample.com", "example.com"),
        ("https://evilexample.com", "*.example.com"),
        ("https://example.com", "*.example.com"),
        ("https://.example.com", "*.example.com"),
        ("https://example.com.evil.io", "example.com"),
        ("https://a.example.com", "example.com"),
        ("https://example.com:8443", "example.com"),
        ("https://example.com:80", "example.com"),
        ("http://example.com", "https://example.com"),
        ("https://example.com@evil.io", "example.com"),
        ("https://evil.io@example.com", "example.com"),
        ("https://@example.com", "example.com"),
        ("https://evil.io\\@example.com", "example.com"),
        ("https://evil.io\\.example.com", "*.example.com"),
        ("https://evil.io#.example.com", "*.example.com"),
        ("https://evil.io?.example.com", "*.example.com"),
        ("https://evil.io/.example.com", "*.example.com"),
        ("https://evil.io, https://example.com", "example.com"),
        ("https://evil.io,x.example.com", "*.example.com"),
        ("https://exam\tple.com", "example.com"),
        ("https://exam\nple.com", "example.com"),
        ("https://example。com.evil.io", "example.com"),
        ("https://xn--bcher-kva.example", "bucher.example"),
        ("https://еxample.com", "example.com"),  # a Cyrillic e
        ("null", "example.com"),
        ("null", "null"),
        ("", "example.com"),
        ("file:///etc/passwd", "example.com"),
        ("ftp://example.com", "example.com"),
        ("example.com", "example.com"),
        ("https://", "example.com"),
        ("https://example.com:99999", "example.com"),
        ("http://[::2]", "[::1]"),
        ("http://[::1", "[::1]"),
        ("http://[fe80::1%25eth0]", "[fe80::1]"),
        ("https://example.com", "*"),
        ("https://example.com", "example.com\nevil.io"),
        ("https://evil.io", "example.com\nevil.io"),
    ],
)
def test_not_allowed(origin: str, domain: str) -> None:
    assert not allowed(origin, domain)
    assert not allowed(origin, "other.example", domain)


@pytest.mark.parametrize(
    "domain",
    ["*", "", " ", "*.", "*.*.com", "exa mple.com", "a.com\nb.com", "a.com\r", "a.com\0", "user@a.com", "a.com/path",
     "a.com?x", "ftp://a.com", "://a.com", "javascript://a.com", "a..com", "-a.com", ".a.com", "a.com:80:*", "a.com:x",
     "https://*", 7, None],
)  # fmt: skip
def test_a_domain_that_is_none_is_refused_when_saved(acme: Client, domain: Any) -> None:
    acme.allowed_domains = ["good.example", domain]
    with pytest.raises(ValidationError):
        acme.save()
    acme.refresh_from_db()
    assert acme.allowed_domains == []


def test_domains_are_a_list(acme: Client) -> None:
    for value in ("example.com", {"example.com": 1}, None):
        acme.allowed_domains = value
        with pytest.raises(ValidationError):
            acme.save()


@pytest.mark.parametrize(
    ("tier", "domains", "require_origin", "headers", "code"),
    [
        ("paid", [], False, {}, None),
        ("paid", [], False, {"origin": "https://any.example"}, None),
        ("paid", [], False, {"origin": "null"}, "DOMAIN_NOT_ALLOWED"),
        ("paid", [], True, {}, "DOMAIN_NOT_ALLOWED"),
        ("paid", [], True, {"referer": "https://any.example/page"}, None),
        ("paid", ["a.example"], False, {}, None),
        ("paid", ["a.example"], True, {}, "DOMAIN_NOT_ALLOWED"),
        ("paid", ["a.example"], False, {"origin": "https://a.example"}, None),
        ("paid", ["a.example"], False, {"origin": "https://b.example"}, "DOMAIN_NOT_ALLOWED"),
        ("paid", ["a.example"], False, {"origin": "NULL"}, "DOMAIN_NOT_ALLOWED"),
        ("paid", ["a.example"], False, {"referer": "https://a.example/page"}, None),
        ("paid", ["a.example"], False, {"referer": "https://b.example/?https://a.example"}, "DOMAIN_NOT_ALLOWED"),
        ("paid", ["a.com"], False, {"origin": "https://b.com", "referer": "https://a.com"}, "DOMAIN_NOT_ALLOWED"),
        ("free", [], False, {}, "DEPLOYMENT_NOT_ALLOWED"),
        ("free", ["a.example"], False, {"origin": "https://a.example"}, "DEPLOYMENT_NOT_ALLOWED"),
        ("free", [], False, {"origin": "https://dashboard.example"}, None),
        ("free", [], False, {"origin": "null"}, "DEPLOYMENT_NOT_ALLOWED"),
    ],
)  # fmt: skip
def test_the_contracts_table(
    db: None, settings: Any, tier: str, domains: Any, require_origin: bool, headers: Any, code: Any
) -> None:
    settings.DASHBOARD_DOMAINS = ["dashboard.example"]
    client = Client.objects.create(name="x", tier=tier, allowed_domains=domains, require_origin=require_origin)
    headers = {"x-api-key": keys.mint(client.pk, "publishable")[1], **headers}
    if code is None:
        assert authenticate(headers).client == client
    else:
        with pytest.raises(ApiError) as caught:
            authenticate(headers)
        assert (caught.value.status, caught.value.code) == (403, code)
    cors = cors_headers(headers)
    assert cors["Vary"] == "Origin" and "Access-Control-Allow-Credentials" not in cors
    expected = headers["origin"] if code is None and "origin" in headers else None
    assert cors.get("Access-Control-Allow-Origin") == expected


def test_a_paused_clients_page_may_read_why(acme: Client, acme_key: str) -> None:
    Client.objects.update(status=Client.Status.PAUSED)
    headers = {"x-api-key": acme_key, "origin": "https://a.example"}
    with pytest.raises(ApiError) as caught:
        authenticate(headers)
    assert caught.value.code == "CLIENT_INACTIVE"
    assert cors_headers(headers)["Access-Control-Allow-Origin"] == "https://a.example"


@pytest.mark.parametrize("status", [Client.Status.PAUSED, Client.Status.DISABLED])
@pytest.mark.parametrize("tier", Client.Tier.values)
def test_a_client_that_is_not_active_is_so_on_every_page(acme: Client, acme_key: str, status: str, tier: str) -> None:
    Client.objects.update(status=status, tier=tier, allowed_domains=["a.example"], require_origin=True)
    for page in ({"origin": "https://a.example"}, {"origin": "https://evil.example"}, {"origin": "null"}, {}):
        with pytest.raises(ApiError) as caught:
            authenticate({"x-api-key": acme_key, **page})
        assert (caught.value.status, caught.value.code) == (403, "CLIENT_INACTIVE")


def test_no_origin_is_echoed_to_an_unknown_key(db: None) -> None:
    for key in ("", "pk_live_nonsense", "sk_live_nonsense"):
        assert cors_headers({"x-api-key": key, "origin": "https://a.example"}) == {"Vary": "Origin"}


def test_a_preflight_allows_the_widgets_headers_and_no_other_credential(db: None) -> None:
    answer = preflight_headers({"origin": "https://a.example"})
    assert answer["Access-Control-Allow-Origin"] == "https://a.example" and answer["Vary"] == "Origin"
    names = set(re.split(r",\s*", answer["Access-Control-Allow-Headers"].lower()))
    assert {"content-type", "x-api-key", "x-session-token", "idempotency-key", "last-event-id"} <= names
    assert not names & {"authorization", "x-internal-secret", "cookie", "*"}
    assert "Access-Control-Allow-Credentials" not in answer


def test_another_spelling_of_a_header_is_no_header(acme: Client, acme_key: str, settings: Any) -> None:
    for raw in (
        [(b"x_api_key", acme_key.encode())],
        [(b"X_Internal_Secret", settings.INTERNAL_API_SECRET.encode())],
        [(b"x-internal_secret", settings.INTERNAL_API_SECRET.encode())],
        [(b"x-api-key", acme_key.encode()), (b"x-api-key", acme_key.encode())],
        [
            (b"x-api-key", acme_key.encode()),
            (b"x_internal_secret", settings.INTERNAL_API_SECRET.encode()),
            (b"X-Api-Key", b"x"),
        ],
    ):
        with pytest.raises(ApiError) as caught:
            authenticate(headers_of(raw))
        assert caught.value.status == 401
    assert authenticate(headers_of([(b"X-Api-Key", acme_key.encode())])).client == acme


def test_a_long_list_of_domains_is_read_once() -> None:
    """Ten thousand and more of an agency's pages: reading them anew took a tenth of a second of each request."""
    domains = [f"shop-{number}.example" for number in range(12_000)]
    assert not allowed("https://nowhere.example", *domains)
    before = _parse_pattern.cache_info().misses
    assert allowed("https://shop-11999.example", *domains)
    assert not allowed("https://nowhere.example", *domains)
    assert _parse_pattern.cache_info().misses == before
