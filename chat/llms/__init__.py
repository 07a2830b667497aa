"""The models that answer, behind one contract: `choose(client)`, then `stream(prompt, model)`."""

from django.conf import settings

from chat.llms.choice import choose, find, is_configured
from chat.llms.contract import LlmError, Patience, Prompt, Turn, Usage
from chat.llms.registry import EXTRACTIVE, MODELS, Model, cost, retirement_warnings
from chat.llms.sessions import close
from chat.llms.stream import Stream, preload

__all__ = [
    "EXTRACTIVE",
    "MODELS",
    "LlmError",
    "Model",
    "Patience",
    "Prompt",
    "Stream",
    "Turn",
    "Usage",
    "choose",
    "close",
    "cost",
    "find",
    "is_configured",
    "preload",
    "retirement_warnings",
    "stream",
]


def stream(prompt: Prompt, model: Model, patience: Patience | None = None) -> Stream:
    """The answer of `model` (or of whoever stands in for it) to `prompt`, as a Stream; raises LlmError as it runs.

    `patience`: by default LLM_FIRST_TOKEN_TIMEOUT from now on.
    """
    return Stream(prompt, model, patience or Patience.of(settings.LLM_FIRST_TOKEN_TIMEOUT))
