"""Which model answers a client: its own, else its tier's, else whichever is configured, else the offline one."""

import datetime
import logging

from django.conf import settings
from django.utils import timezone

from chat.llms.registry import EXTRACTIVE, MODELS, Model, current
from tenants.models import Client

log = logging.getLogger(__name__)


def choose(client: Client) -> Model:
    """The model that answers this client now. One that is not configured gives way to the other tier's."""
    own, other = settings.FREE_MODEL, settings.PAID_MODEL
    if client.tier == Client.Tier.PAID:
        own, other = other, own
    for name in (client.model, own, other):
        model = find(name)
        if model is not None:
            return model
    return EXTRACTIVE


def find(name: str) -> Model | None:
    """The usable model of this name (or its successor); None when it is unknown or its provider is not configured."""
    model = MODELS.get(name)
    if model is None:
        # A name we don't know belongs to the operator's own server (Ollama, vLLM and the like), which is free.
        return Model(name, "openai") if name and settings.OPENAI_BASE_URL else None
    model = current(model, today())
    return model if is_configured(model.provider) else None


def is_configured(provider: str) -> bool:
    """Is there a key or an address for this provider? The offline answerer needs neither."""
    if provider == "openai":
        return bool(settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL)
    if provider == "anthropic":
        return bool(settings.ANTHROPIC_API_KEY or settings.ANTHROPIC_BASE_URL)
    return True


def of_other_provider(model: Model) -> Model | None:
    """The tiers' model of another provider, for when this one's is down and the operator allows it."""
    candidates = (find(name) for name in (settings.PAID_MODEL, settings.FREE_MODEL))
    return next((other for other in candidates if other and other.provider != model.provider), None)


def today() -> datetime.date:
    return timezone.now().date()
