"""One function turns a request into a Caller, for Django views and Channels consumers alike."""

import enum
import hmac
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.utils import timezone

from tenants import keys
from tenants.errors import ApiError
from tenants.models import ApiKey, Client
from tenants.origins import Origin, origin_allowed, parse_origin
from tenants.scoping import client_scope

REMEMBER_SECONDS = 1.0  # a revoked key or paused client stops working within 2 s everywhere
REMEMBER_KEYS = 10_000  # a flood of invented keys costs a bounded amount of memory


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
    key: ApiKey | None = field(default=None, repr=False)

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


def note_caller(caller: Caller) -> None:
    """Have every further line of this request's log say who calls, and for which client."""
    client = {"client_id": str(caller.client.pk)} if caller.client is not None else {}
    structlog.contextvars.bind_contextvars(caller=caller.kind.value, **client)


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers of an ASGI scope, by lower-case name, as Django's requests have them: a name with an
    underscore is dropped (`X_API_KEY` is not `X-API-Key`), a repeated one is joined with a comma."""
    found: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin1").lower(), raw_value.decode("latin1")
        if "_" not in name:
            found[name] = f"{found[name]},{value}" if name in found else value
    return found


def authenticate(headers: Mapping[str, str]) -> Caller:
    """The caller behind `headers` (case-insensitive or lower-case names), or ApiError 401/403. May query."""
    if "x-internal-secret" in headers:
        return _internal(headers["x-internal-secret"])
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _server(bearer.strip(), headers.get("origin"))
    if "x-api-key" in headers:
        return widget_caller(headers["x-api-key"].strip(), headers.get("origin") or headers.get("referer"))
    raise unauthorised()


def widget_caller(key: str, origin_header: str | None) -> Caller:
    """The caller with a publishable key on a page of `origin_header`, or ApiError 401/403."""
    row = _key_row(key, ApiKey.Kind.PUBLISHABLE)
    client = _active(row.client)  # first: a client that is switched off is so on every page
    check_origin(client, origin_header)
    return Caller(Kind.WIDGET, client, frozenset({"chat"}), parse_origin(origin_header), row)


def key_owner(key: str, kind: str) -> Client:
    """The active client of a key of this kind, or ApiError 401/403; no origin is looked at."""
    return _active(_key_row(key, kind).client)


def key_allows_origin(key: str, origin_header: str) -> bool:
    """May pages of this origin read what a publishable key is told? (Whether the client is active is no matter.)"""
    try:
        check_origin(_key_row(key, ApiKey.Kind.PUBLISHABLE).client, origin_header)
    except ApiError:
        return False
    return True


def still_allowed(caller: Caller, client_id: uuid.UUID) -> bool:
    """Ask about once a second while an answer streams: is the key still good and the client still active?"""
    if caller.key is not None:
        row = _remembered_row((caller.key.digest,))
        return row is not None and row.client.status == Client.Status.ACTIVE
    return Client.objects.filter(pk=client_id, status=Client.Status.ACTIVE).exists()


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
        raise unauthorised()


def forget_callers() -> None:
    """Forget remembered keys at once (after a change in this process, and between tests)."""
    _remembered.clear()


def unauthorised() -> ApiError:
    """The one 401, whatever was wrong with the key."""
    return ApiError("INVALID_API_KEY", "The API key is missing or not valid.", headers={"WWW-Authenticate": "Bearer"})


def _internal(secret: str) -> Caller:
    known = [s for s in (settings.INTERNAL_API_SECRET, settings.INTERNAL_API_SECRET_PREVIOUS) if s]
    matches = [hmac.compare_digest(secret.encode(), candidate.encode()) for candidate in known]
    if not any(matches):
        raise unauthorised()
    return Caller(Kind.INTERNAL, None, frozenset(keys.SCOPES))


def _server(key: str, origin_header: str | None) -> Caller:
    """A secret key in a browser has leaked already: a request with an `Origin` is refused, whatever the key."""
    if origin_header:
        raise unauthorised()
    row = _key_row(key, ApiKey.Kind.SECRET)
    return Caller(Kind.SERVER, _active(row.client), frozenset(row.scopes), None, row)


def _key_row(key: str, kind: str) -> ApiKey:
    """The key's row; every way of being wrong is the same 401, and one that can't be a key costs no query."""
    row = _remembered_row(keys.digests(key)) if keys.well_formed(key) else None
    if row is None or row.kind != kind:
        raise unauthorised()
    return row


_remembered: dict[tuple[str, ...], tuple[float, ApiKey | None]] = {}


def _remembered_row(digests: tuple[str, ...]) -> ApiKey | None:
    """The row with one of these digests while it is good, looked up at most once in REMEMBER_SECONDS."""
    now = time.monotonic()
    expires, row = _remembered.get(digests, (0.0, None))
    if expires > now:
        return row
    row = keys.find(digests)
    if len(_remembered) >= REMEMBER_KEYS:
        _remembered.clear()
    _remembered[digests] = (now + REMEMBER_SECONDS, row)
    if row is not None:
        _note_use(row)
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


def _forbidden_origin(free: bool) -> ApiError:
    if free:
        return ApiError("DEPLOYMENT_NOT_ALLOWED", "On the free plan the chat works on the dashboard only.")
    return ApiError("DOMAIN_NOT_ALLOWED", "This website is not allowed to use the chat.")
