"""What is known so far about an answer under way, so that it can be billed wherever it stops."""

from dataclasses import dataclass, field

from chat.llms.contract import Prompt, Usage
from chat.llms.registry import Model
from knowledge import tokens


@dataclass
class Tally:
    """Filled in by an adapter as events arrive. None: the provider has not said (yet).

    `begun`: the provider's first event came, so the request reached the model.
    `stop`: why the answer ended: "end", "length" or "refusal"; empty while it has not.
    """

    model: Model
    prompt: Prompt
    begun: bool = False
    stop: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    pieces: list[str] = field(default_factory=list)

    def usage(self) -> Usage:
        """The provider's counts, or estimates where it has given none."""
        if not self.begun:
            return Usage(self.model.id, 0, 0)
        prompt_tokens, completion_tokens = self.prompt_tokens, self.completion_tokens
        if prompt_tokens is None:
            prompt_tokens = self._estimate(*_texts(self.prompt))
        if completion_tokens is None:
            completion_tokens = self._estimate("".join(self.pieces))
        return Usage(
            model=self.model.id,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cache_read_tokens=self.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens,
            exact=self.prompt_tokens is not None and self.completion_tokens is not None,
        )

    def _estimate(self, *texts: str) -> int:
        return round(sum(map(tokens.count, texts)) * self.model.token_factor)


def _texts(prompt: Prompt) -> list[str]:
    passages = [passage.text for passage in prompt.passages]
    return [prompt.system, *passages, *(turn.text for turn in prompt.history), prompt.question]
