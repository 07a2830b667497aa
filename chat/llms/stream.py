"""One answer while it is produced: pieces of text, and the tokens it took, wherever it stops."""

import importlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Self

from django.conf import settings

from chat.llms import choice, registry
from chat.llms.contract import LlmError, Patience, Prompt, Usage
from chat.llms.registry import Model
from chat.llms.tally import Tally

log = logging.getLogger(__name__)


class Stream:
    """Iterate it once for the pieces; nothing is sent before. Close it (`async with`, or `aclose()`) in any case:
    that closes the provider's connection.

    `model`: which one answers; a successor or the other provider's may have stepped in.
    `usage`: the tokens so far, exact after a complete answer; estimated where it was left early.
    `stop`: "end", "length" (cut at the token limit) or "refusal" (perhaps with no text at all); "" if unfinished.
    `reached_model`: a provider began to answer and charges for it.
    """

    def __init__(self, prompt: Prompt, model: Model, patience: Patience):
        self._prompt, self._patience = prompt, patience
        self._tally = Tally(model, prompt)
        self._pieces = self._run()

    @property
    def model(self) -> Model:
        return self._tally.model

    @property
    def usage(self) -> Usage:
        return self._tally.usage()

    @property
    def stop(self) -> str:
        return self._tally.stop

    @property
    def reached_model(self) -> bool:
        return self._tally.begun

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces

    async def aclose(self) -> None:
        await self._pieces.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self) -> AsyncGenerator[str, None]:
        tried: set[str] = set()
        while True:
            tried.add(self.model.id)
            pieces = _adapter(self._tally, self._patience_with(self.model, tried))
            try:
                async for piece in pieces:
                    yield piece
                return
            except LlmError as error:
                stand_in = None if self._tally.pieces else _stand_in(self.model, error)
                if stand_in is None or stand_in.id in tried:
                    log.warning("%s gave no complete answer: %s", self.model.id, error.detail)
                    raise
                log.warning("%s answers instead of %s: %s", stand_in.id, self.model.id, error.detail)
                self._tally = Tally(stand_in, self._prompt)
            finally:
                await pieces.aclose()

    def _patience_with(self, model: Model, tried: set[str]) -> Patience:
        """Half of what is left where another provider could answer in the other half."""
        other = choice.of_other_provider(model) if settings.FALLBACK_TO_OTHER_PROVIDER else None
        return self._patience if other is None or other.id in tried else self._patience.half()


def preload() -> None:
    """Import the configured providers' SDKs, for process start: the first answer would wait seconds for it."""
    for provider in filter(choice.is_configured, ("anthropic", "openai")):
        importlib.import_module(f"chat.llms.{provider}")


def _stand_in(model: Model, error: LlmError) -> Model | None:
    """Who may answer in the place of a model that failed before its first piece."""
    if error.gone:
        registry.mark_gone(model)
        successor = registry.current(model, choice.today())
        if successor is not model:
            return successor
    down = error.transient or error.gone or error.code == "TIMEOUT"
    return choice.of_other_provider(model) if down and settings.FALLBACK_TO_OTHER_PROVIDER else None


def _adapter(tally: Tally, patience: Patience) -> AsyncGenerator[str, None]:
    """The SDKs take a second or two to import, so a process that never asks one never loads it."""
    if tally.model.provider == "extractive":
        from chat.llms import extractive

        return extractive.pieces(tally)
    from chat.llms import wire

    if tally.model.provider == "anthropic":
        from chat.llms.anthropic import AnthropicCall

        return wire.pieces(AnthropicCall, tally, patience)
    from chat.llms.openai import OpenAiCall

    return wire.pieces(OpenAiCall, tally, patience)
