"""What every model is asked with, and what comes back. Adapters import this; everybody else imports `chat.llms`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
