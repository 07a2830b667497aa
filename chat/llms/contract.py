"""What every model is asked with, and what comes back. Adapters import this; everybody else imports `chat.llms`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from knowledge.search import Passage

MESSAGES = {
    "LLM_ERROR": "The answering service is not available at the moment. Please try again shortly.",
    "TIMEOUT": "The answer took too long. Please try again shortly.",
}


@dataclass(frozen=True)
class Turn:
    """One earlier turn of the conversation; `role` is "visitor" or "assistant"."""

    role: str
    text: str


@dataclass(frozen=True)
class Prompt:
    """Everything a model may know. `system` holds the rules and is the same for every request of a client;
    the rest is data, cleaned by `chat.prompts.build` and fenced with `fence` where an adapter writes it out."""

    system: str
    passages: Sequence["Passage"]
    history: Sequence[Turn]
    question: str
    fence: str
    max_tokens: int = 1000


@dataclass(frozen=True)
class Patience:
    """How long somebody waits for a model, in seconds of `time.monotonic()`, which event loops go by, too."""

    first_by: float  # when the first piece must be there: retries and stand-ins included
    between: float  # two pieces

    @classmethod
    def of(cls, seconds: float, since: float | None = None) -> Self:
        """So many seconds, counted from `since` (now) to the first piece, and between pieces."""
        return cls((time.monotonic() if since is None else since) + seconds, seconds)

    def half(self) -> "Patience":
        """Of which as much is left for somebody else."""
        return replace(self, first_by=(time.monotonic() + self.first_by) / 2)


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer. `prompt_tokens` are all input tokens, cache reads and writes among them.
    `exact` is False where the provider did not say and the count is an estimate."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    exact: bool = True


class LlmError(Exception):
    """No answer, or half of one. `code` is LLM_ERROR or TIMEOUT; the text is for a person and names nothing internal.

    `reached_model`: the provider had begun to answer, so that it charges for the request.
    `transient`: another try may succeed, after `retry_after` seconds where the provider named them.
    `gone`: the provider no longer has this model.
    `detail`: for the log only.
    """

    def __init__(
        self,
        code: str = "LLM_ERROR",
        *,
        reached_model: bool = False,
        transient: bool = False,
        retry_after: float | None = None,
        gone: bool = False,
        detail: str = "",
    ):
        super().__init__(MESSAGES[code])
        self.code = code
        self.reached_model = reached_model
        self.transient = transient
        self.retry_after = retry_after
        self.gone = gone
        self.detail = detail
