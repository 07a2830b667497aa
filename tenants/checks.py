"""What `manage.py check` says about isolation; the database's part runs with `--database default` and in `migrate`."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import OperationalError, connections, models

from tenants.models import Client
from tenants.redis_nodes import addresses
from tenants.reports import REPLICA
from tenants.scoping import ClientOwned, ScopedManager

MINIMUM_SECRET = 32  # characters
DECIDES_SCOPES = {"tenants.StaffMember"}  # read to learn which scope its person gets, so it can be in none


@register(Tags.models)
def check_client_owned_models(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [message for model in apps.get_models() for message in _model_errors(model)]


@register(Tags.security, deploy=True)
def check_internal_secret(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    previous = settings.INTERNAL_API_SECRET_PREVIOUS
    if len(settings.INTERNAL_API_SECRET) < MINIMUM_SECRET or 0 < len(previous) < MINIMUM_SECRET:
        return [Error(f"INTERNAL_API_SECRET needs at least {MINIMUM_SECRET} random characters.", id="tenants.E004")]
    return []


@register()
def check_redis(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Without these every request would find out."""
    nodes = [urlsplit(address) for address in addresses(settings.REDIS_URL)]
    if len(nodes) > 1 and not settings.REDIS_CLUSTER:
        return [Error("REDIS_URL names several nodes: set REDIS_CLUSTER, or name one.", id="tenants.E005")]
    if settings.REDIS_CLUSTER and not all(node.scheme in ("redis", "rediss") and node.hostname for node in nodes):
        return [Error("REDIS_CLUSTER needs the redis:// address of a node in REDIS_URL.", id="tenants.E006")]
    if settings.REDIS_CLUSTER and any(node.path not in ("", "/", "/0") for node in nodes):
        return [Error("A Redis cluster has the database 0 only: leave it out of REDIS_URL.", id="tenants.E007")]
    return []


@register(Tags.database)
def check_row_security(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    for alias in databases or []:
        if alias == REPLICA:
            messages += _replica_warnings()
        elif connections[alias].vendor == "postgresql":
            messages += _role_warnings(alias)
    return messages


def _model_errors(model: type[models.Model]) -> Iterator[CheckMessage]:
    if not issubclass(model, ClientOwned):
        if model._meta.label not in DECIDES_SCOPES and any(
            field.related_model is Client for field in model._meta.concrete_fields
        ):
            message = "A model with a client derives from tenants.scoping.ClientOwned."
            yield Error(message, obj=model, id="tenants.E001")
        return
    if not all(
        isinstance(m, ScopedManager) for m in (model._default_manager, model._base_manager, *model._meta.managers)
    ):
        yield Error(
            "Every manager is a ScopedManager; let Meta derive from ClientOwned.Meta.", obj=model, id="tenants.E002"
        )
    if model._meta.local_many_to_many:
        yield Error("The rows of a many-to-many table would belong to no client.", obj=model, id="tenants.E003")


def _role_warnings(alias: str) -> list[CheckMessage]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        (bypasses,) = cursor.fetchone()
    if bypasses and not settings.DATABASE_OWNER_URL:
        hint = "Let DATABASE_URL name a role of its own, and DATABASE_OWNER_URL the one that owns the tables."
        return [Warning("The database role bypasses row-level security.", hint=hint, id="tenants.W001")]
    return []


def _replica_warnings() -> list[CheckMessage]:
    """It has the role of the primary, and so its rights; without it the product is whole."""
    hint = "Until then reports come from the primary."
    try:
        with connections[REPLICA].cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            (replicates,) = cursor.fetchone()
    except OperationalError:
        return [Warning("DATABASE_REPLICA_URL can't be reached.", hint=hint, id="tenants.W002")]
    if not replicates:
        return [Warning("DATABASE_REPLICA_URL names no streaming replica.", hint=hint, id="tenants.W003")]
    return []
