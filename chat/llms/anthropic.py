"""Anthropic's messages, with its native citations and its prompt cache.

The SDK makes the request and holds the connection; its events are read raw, which takes a third of the CPU
of its typed ones. Citations arrive as events of a text block; they leave here as marks `[passage#sentence]`
at the block's end, so that every provider's stream looks the same.
"""

import warnings
from contextlib import AbstractAsyncContextManager
from typing import Any

import anthropic
from django.conf import settings

from chat import prompts
from chat.llms import sessions
from chat.llms.contract import LlmError
from chat.llms.tally import Tally
from chat.llms.wire import code_of, from_status, from_timeout
from tenants.errors import cause_of

STOPS = {
    "end_turn": "end",
    "stop_sequence": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
INPUT_TOKENS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
# The table of models knows the dates and says so once at start; the SDK would repeat it for every request.
warnings.filterwarnings("ignore", message="The model '.*' is deprecated", category=DeprecationWarning)


def _client() -> anthropic.AsyncAnthropic:
    key, base_url = settings.ANTHROPIC_API_KEY or "none", settings.ANTHROPIC_BASE_URL or None

    def make() -> anthropic.AsyncAnthropic:
        timeout = anthropic.Timeout(None, connect=settings.LLM_CONNECT_TIMEOUT)
        http = anthropic.DefaultAioHttpClient(timeout=timeout)
        return anthropic.AsyncAnthropic(
            api_key=key, base_url=base_url, timeout=timeout, max_retries=0, http_client=http
        )

    return sessions.client(("anthropic", base_url, key), make)


class AnthropicCall:
    def __init__(self, tally: Tally):
        self._tally = tally
        self._input: dict[str, int] = {}  # tokens, by INPUT_TOKENS
        self._cited: dict[int, int] = {}  # passage number -> first cited sentence, of the open text block

    def open(self) -> AbstractAsyncContextManager[Any]:
        model, prompt = self._tally.model, self._tally.prompt
        return _client().messages.with_streaming_response.create(
            model=model.id,
            max_tokens=prompt.max_tokens,
            messages=[],  # in extra_body: the SDK would walk through every block with its type hints, for 2 ms
            stream=True,
            extra_body={
                "system": prompts.anthropic_system(prompt, native=model.native_citations),
                "messages": prompts.anthropic_messages(prompt, native=model.native_citations),
                **model.extra,
            },
        )

    def read(self, event: dict[str, Any]) -> str:
        kind = event["type"]
        if kind == "content_block_delta":
            return self._delta(event["delta"])
        if kind == "content_block_stop":
            return self._marks()
        if kind == "message_start":
            self._input_usage(event["message"]["usage"])
        elif kind == "message_delta":
            if reason := event["delta"].get("stop_reason"):
                self._tally.stop = STOPS.get(reason, "end")
            self._input_usage(event["usage"])
            self._tally.completion_tokens = int(event["usage"]["output_tokens"])
        elif kind == "error":
            raise LlmError(transient=True, detail=f"error event: {code_of(event['error'])}")
        elif not isinstance(kind, str):  # unknown names are new kinds of events, to be passed over
            raise ValueError("an event without a name")
        return ""

    def _delta(self, delta: dict[str, Any]) -> str:
        if delta["type"] == "text_delta":
            return delta["text"]
        if delta["type"] == "citations_delta" and delta["citation"]["type"] == "search_result_location":
            citation = delta["citation"]
            # Block 0 of a passage is its opening fence (see prompts), so that block n is sentence n - 1.
            sentence = max(0, citation["start_block_index"] - 1)
            self._cited.setdefault(citation["search_result_index"] + 1, sentence)
        return ""

    def _marks(self) -> str:
        marks = "".join(f"[{passage}#{sentence}]" for passage, sentence in self._cited.items())
        self._cited.clear()
        return marks

    def _input_usage(self, usage: dict[str, Any]) -> None:
        """`input_tokens` leaves out what was read from or written to the cache. message_delta may repeat some of it."""
        self._input |= {name: int(usage[name]) for name in INPUT_TOKENS if usage.get(name) is not None}
        if "input_tokens" in self._input:
            tally = self._tally
            tally.prompt_tokens = sum(self._input.values())
            tally.cache_read_tokens = self._input.get("cache_read_input_tokens", 0)
            tally.cache_write_tokens = self._input.get("cache_creation_input_tokens", 0)

    def translate(self, error: Exception) -> LlmError | None:
        if isinstance(error, anthropic.APIStatusError):
            return from_status(error.status_code, error.response.headers, error.body, cause_of(error))
        if isinstance(error, anthropic.APITimeoutError):
            return from_timeout(error)
        if isinstance(error, anthropic.AnthropicError):
            return LlmError(transient=isinstance(error, anthropic.APIConnectionError), detail=cause_of(error))
        return None
