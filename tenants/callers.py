"""One function turns a request into a Caller, for Django views and Channels consumers alike."""

import enum
import hmac
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.utils import timezone

from tenants import keys
from tenants.errors import ApiError
from tenants.models import ApiKey, Client
from tenants.origins import Origin, origin_allowed, parse_origin
from tenants.scoping import client_scope

REMEMBER_SECONDS = 1.0  # a revoked key or paused client stops working within 2 s everywhere


class Kind(enum.StrEnum):
    WIDGET = "widget"  # a browser with a publishable key
    SERVER = "server"  # a customer's server with a secret key
    INTERNAL = "internal"  # Express


@dataclass(frozen=True)
class Caller:
    """Who calls and for which client; an internal caller names its client in the request (`acting_for`)."""

    kind: Kind
    client: Client | None
    scopes: frozenset[str] = field(default_factory=frozenset)
    origin: Origin | None = None

    def acting_for(self, client_id: object) -> Client:
        """The client this caller acts for; `client_id` from the request counts only for the internal caller."""
        if self.client is not None:
            return self.client
        if not client_id:
            raise ApiError("INVALID_REQUEST", "clientId is required.")
        client = _client(client_id)
        if client is None:
            raise ApiError("NOT_FOUND", "There is no such client.")
        return _active(client)


def authenticate(headers: Mapping[str, str]) -> Caller:
    """The caller behind `headers` (lower-case names), or ApiError 401/403. May query the database."""
    if "x-internal-secret" in headers:
        return _internal(headers["x-internal-secret"])
    bearer = headers.get("authorization", "")
    if bearer[:7].lower() == "bearer ":
        return _server(bearer[7:].strip())
    if "x-api-key" in headers:
        return widget_caller(headers["x-api-key"].strip(), headers.get("origin") or headers.get("referer"))
    raise _unauthorised()


def widget_caller(key: str, origin_header: str | None) -> Caller:
    """The caller with a publishable key on a page of `origin_header`, or ApiError 401/403."""
    row = _key_row(key, ApiKey.Kind.PUBLISHABLE)
    client = _active(row.client)
    check_origin(client, origin_header)
    return Caller(Kind.WIDGET, client, frozenset({"chat"}), parse_origin(origin_header))


def check_origin(client: Client, origin_header: str | None) -> None:
    """The contract's domain rules: ApiError 403 where the widget may not run."""
    free = client.tier == Client.Tier.FREE
    if not origin_header:
        if free or client.require_origin:
            raise _forbidden_origin(free)
        return
    domains = settings.DASHBOARD_DOMAINS if free else client.allowed_domains
    if not free and not domains and origin_header.strip().lower() != "null":
        return
    origin = parse_origin(origin_header)
    if origin is None or not origin_allowed(origin, domains):
        raise _forbidden_origin(free)


def require_scope(caller: Caller, scope: str) -> None:
    """A secret key works only for what it was made for; the internal caller for everything."""
    if caller.kind is not Kind.INTERNAL and scope not in caller.scopes:
        raise _unauthorised()


def forget_callers() -> None:
    """Forget remembered keys at once (after a change in this process, and between tests)."""
    _remembered.clear()


def _internal(secret: str) -> Caller:
    known = [s for s in (settings.INTERNAL_API_SECRET, settings.INTERNAL_API_SECRET_PREVIOUS) if s]
    matches = [hmac.compare_digest(secret.encode(), candidate.encode()) for candidate in known]
    if not any(matches):
        raise _unauthorised()
    return Caller(Kind.INTERNAL, None, frozenset(keys.SCOPES))


def _server(key: str) -> Caller:
    row = _key_row(key, ApiKey.Kind.SECRET)
    return Caller(Kind.SERVER, _active(row.client), frozenset(row.scopes))


_remembered: dict[str, tuple[float, ApiKey | None]] = {}


def _key_row(key: str, kind: str) -> ApiKey:
    """The key's row, remembered for REMEMBER_SECONDS; every way of being wrong is the same 401."""
    if not keys.well_formed(key):
        raise _unauthorised()
    now, digest = time.monotonic(), keys.digest(key)
    expires, row = _remembered.get(digest, (0.0, None))
    if expires <= now:
        row = keys.find(key)
        if len(_remembered) > 10_000:
            _remembered.clear()
        _remembered[digest] = (now + REMEMBER_SECONDS, row)
        if row is not None:
            _note_use(row)
    if row is None or row.kind != kind:
        raise _unauthorised()
    return row


def _note_use(row: ApiKey) -> None:
    """Last-used time, written at most once a minute."""
    now = timezone.now()
    if row.last_used and (now - row.last_used).total_seconds() < 60:
        return
    with client_scope(row.client_id):
        ApiKey.objects.filter(pk=row.pk).update(last_used=now)


def _client(client_id: object) -> Client | None:
    try:
        return Client.objects.filter(pk=uuid.UUID(str(client_id))).first()
    except ValueError:
        return None


def _active(client: Client) -> Client:
    if client.status != Client.Status.ACTIVE:
        raise ApiError("CLIENT_INACTIVE", "This chat is switched off at the moment.")
    return client


def _unauthorised() -> ApiError:
    return ApiError("INVALID_API_KEY", "The API key is missing or not valid.")


def _forbidden_origin(free: bool) -> ApiError:
    if free:
        return ApiError("DEPLOYMENT_NOT_ALLOWED", "On the free plan the chat works on the dashboard only.")
    return ApiError("DOMAIN_NOT_ALLOWED", "This website is not allowed to use the chat.")
