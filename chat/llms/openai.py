"""OpenAI's chat completions, and every server that speaks them (Ollama, vLLM and the like) by OPENAI_BASE_URL.

The SDK makes the request and holds the connection; its events are read raw, which takes a third of the CPU
of its typed ones.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any

import openai
from django.conf import settings

from chat import prompts
from chat.llms import sessions
from chat.llms.contract import LlmError
from chat.llms.tally import Tally
from chat.llms.wire import code_of, from_status, from_timeout
from tenants.errors import cause_of

THINK = "<think>"
STOPS = {"stop": "end", "length": "length", "content_filter": "refusal"}


def _client() -> openai.AsyncOpenAI:
    key, base_url = settings.OPENAI_API_KEY or "none", settings.OPENAI_BASE_URL or None

    def make() -> openai.AsyncOpenAI:
        timeout = openai.Timeout(None, connect=settings.LLM_CONNECT_TIMEOUT)
        http = openai.DefaultAioHttpClient(timeout=timeout)
        return openai.AsyncOpenAI(api_key=key, base_url=base_url, timeout=timeout, max_retries=0, http_client=http)

    return sessions.client(("openai", base_url, key), make)


class OpenAiCall:
    def __init__(self, tally: Tally):
        self._tally = tally
        self._thoughts: str | None = ""  # while an open model may be thinking aloud; None from its answer on

    def open(self) -> AbstractAsyncContextManager[Any]:
        model, prompt = self._tally.model, self._tally.prompt
        return _client().chat.completions.with_streaming_response.create(
            model=model.id,
            messages=[],  # in extra_body: the SDK would walk through every message with its type hints, for 1 ms
            stream=True,
            extra_body={
                "messages": prompts.openai_messages(prompt),
                "stream_options": {"include_usage": True},
                model.token_parameter: prompt.max_tokens,
                **model.extra,
            },
        )

    def read(self, event: dict[str, Any]) -> str:
        tally = self._tally
        if event.get("error"):
            raise LlmError(transient=True, detail=f"error event: {code_of(event['error'])}")
        if usage := event.get("usage"):
            tally.prompt_tokens = int(usage["prompt_tokens"])
            tally.completion_tokens = int(usage["completion_tokens"])
            details = usage.get("prompt_tokens_details") or {}
            tally.cache_read_tokens = details.get("cached_tokens") or 0
            tally.cache_write_tokens = details.get("cache_write_tokens") or 0
        if not event["choices"]:
            return ""
        choice = event["choices"][0]
        delta = choice.get("delta") or {}
        if reason := choice.get("finish_reason"):
            tally.stop = tally.stop or STOPS.get(reason, "end")
        if delta.get("refusal"):
            tally.stop = "refusal"
        return self._spoken(delta.get("content") or "")

    def _spoken(self, text: str) -> str:
        """`text` without the <think>...</think> that some open models put before their answer."""
        if self._thoughts is None:
            return text
        self._thoughts += text
        begun = self._thoughts.lstrip()
        if THINK.startswith(begun[: len(THINK)]) and "</think>" not in begun and not self._tally.stop:
            return ""
        said = begun.partition("</think>")[2].lstrip() if begun.startswith(THINK) else self._thoughts
        self._thoughts = None if said else ""
        return said

    def translate(self, error: Exception) -> LlmError | None:
        if isinstance(error, openai.APIStatusError):
            return from_status(error.status_code, error.response.headers, error.body, cause_of(error))
        if isinstance(error, openai.APITimeoutError):
            return from_timeout(error)
        if isinstance(error, openai.OpenAIError):
            return LlmError(transient=isinstance(error, openai.APIConnectionError), detail=cause_of(error))
        return None
