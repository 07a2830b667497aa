"""What `manage.py check --deploy` says about the installation as a whole; tenants/checks.py speaks of isolation."""

import re
from typing import Any

import structlog
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ValidationError
from django.utils import timezone

from chat import llms
from tenants.origins import validate_domains

log = structlog.get_logger(__name__)


@register(Tags.compatibility)
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Settings whose wrong value nothing else would notice before it matters."""
    wrong = []
    if settings.LIMITS_WHEN_UNREACHABLE not in ("refuse", "admit"):
        wrong.append("LIMITS_WHEN_UNREACHABLE is either refuse or admit.")
    if not re.fullmatch("[A-Z]{3}", settings.CURRENCY):
        wrong.append("CURRENCY is a code of three capital letters, such as USD.")
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
