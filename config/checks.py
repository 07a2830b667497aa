"""What `manage.py check --deploy` says about the installation as a whole; tenants/checks.py speaks of isolation."""

import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ValidationError
from django.utils import timezone

from chat import llms
from tenants.origins import validate_domains

log = structlog.get_logger(__name__)
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def _is_address(name: str) -> bool:
    """Empty, or of a web server. `host:port` alone would be refused by whatever asks it, much later."""
    parts = urlsplit(text := getattr(settings, name))
    return not text or (parts.scheme in ("http", "https") and bool(parts.hostname))


def _is_networks(name: str) -> bool:
    try:
        return all(ip_network(network) for network in getattr(settings, name))
    except ValueError:
        return False


_RULES: tuple[tuple[tuple[str, ...], Callable[[str], bool], str], ...] = (
    (
        ("PUBLIC_URL", "UPGRADE_URL", "EXPRESS_CALLBACK_URL", "QDRANT_URL", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL",
         "EMBEDDING_BASE_URL", "STRIPE_BASE_URL"),
        _is_address, "an address that begins with http:// or https://",
    ),
    (("TRUSTED_PROXIES",), _is_networks, "a list of networks, such as 10.0.0.0/8"),
    (
        ("ALLOWED_HOSTS",), lambda name: not any("/" in host for host in getattr(settings, name)),
        "a list of host names, without https://",
    ),
    (
        ("REDIS_URL",), lambda name: not settings.REDIS_URL or settings.REDIS_URL.startswith(REDIS_SCHEMES),
        "an address that begins with redis://, rediss:// or unix://",
    ),
    (
        ("INGEST_SECONDS", "INGEST_LEASE_SECONDS", "LLM_CONNECT_TIMEOUT", "LLM_FIRST_TOKEN_TIMEOUT",
         "LLM_TOTAL_TIMEOUT", "ANSWER_TIMEOUT", "ANSWER_FIRST_TOKEN_TIMEOUT", "TAKEOVER_SECONDS",
         "MAX_DOCUMENT_BYTES", "MAX_DOCUMENT_CHUNKS", "PARSE_SECONDS", "PARSE_MEMORY_MB"),
        lambda name: getattr(settings, name) > 0, "greater than 0",
    ),
)  # fmt: skip


@register(Tags.compatibility)
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Settings whose wrong value nothing else would notice before it matters."""
    wrong = [f"{name} is {what}." for names, right, what in _RULES for name in names if not right(name)]
    if settings.LIMITS_WHEN_UNREACHABLE not in ("refuse", "admit"):
        wrong.append("LIMITS_WHEN_UNREACHABLE is either refuse or admit.")
    if not re.fullmatch("[A-Z]{3}", settings.CURRENCY):
        wrong.append("CURRENCY is a code of three capital letters, such as USD.")
    if settings.Q_CLUSTER["workers"] < 1:
        wrong.append("WORKERS is at least 1.")
    if not settings.BUDGET_HOLD.is_finite() or settings.BUDGET_HOLD < 0:
        wrong.append("BUDGET_HOLD is an amount in dollars, such as 0.05.")
    try:
        validate_domains(settings.DASHBOARD_DOMAINS)
    except ValidationError as error:  # such an entry would match no page, and free clients would be refused there
        wrong.append(f"DASHBOARD_DOMAINS: {' '.join(error.messages)}")
    return [Error(sentence, id="config.E001") for sentence in wrong]


@register(Tags.compatibility, deploy=True)
def check_models(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A model that its maker withdraws soon, if this installation asks it at all."""
    hint = "Set FREE_MODEL or PAID_MODEL, or let the successor take over by itself."
    return [Warning(sentence, hint=hint, id="config.W001") for sentence in _retirements()]


def log_retirements() -> None:
    """The same sentences in the log, for a web process that starts."""
    for sentence in _retirements():
        log.warning("model ends", reason=sentence)


def _retirements() -> list[str]:
    tiers = {"The free tier": settings.FREE_MODEL, "The paid tier": settings.PAID_MODEL}
    asked = {tier: name for tier, name in tiers.items() if name in llms.MODELS}
    in_use = {tier: name for tier, name in asked.items() if llms.is_configured(llms.MODELS[name].provider)}
    return list(llms.retirement_warnings(timezone.now().date(), in_use))
