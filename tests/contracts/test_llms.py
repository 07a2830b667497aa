"""Every provider's adapter, through its real SDK, against a scripted server that speaks the real wire formats."""

import asyncio
import datetime
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from chat import llms, prompts
from chat.llms import choice, registry, wire
from tenants.models import Client
from tests.chat.passages import passage
from tests.contracts.llm_server import (
    BLOCK,
    HANG,
    RESET,
    LlmServer,
    Reply,
    anthropic_events,
    citation,
    cut,
    openai_events,
    openai_usage,
    paced,
    sse,
    status,
)

PASSAGES = [
    passage("Shoes can be returned within 30 days. Sale items can't be returned."),
    passage("We are in Köln.", number=1),
]
PIECES = ["Grüß", " dich 👋🏽", "", "\r\n", "42", ' {"a": "b"}', " end"]


@dataclass(frozen=True)
class Provider:
    """One provider's wire format behind names that the tests share."""

    name: str
    model: str
    path: str

    def events(self, pieces: list[str], **options: Any) -> list[bytes]:
        return (openai_events if self.name == "openai" else anthropic_events)(pieces, **options)

    def unfinished(self, pieces: list[str]) -> list[bytes]:
        return openai_events(pieces, finish=None) if self.name == "openai" else anthropic_events(pieces, stop=None)

    def stopped(self, pieces: list[str], reason: str) -> list[bytes]:
        names = {"refusal": ("content_filter", "refusal"), "length": ("length", "max_tokens")}[reason]
        if self.name == "openai":
            return openai_events(pieces, finish=names[0])
        return anthropic_events(pieces, stop=names[1])

    def error_event(self) -> bytes:
        error = {"type": "overloaded_error", "message": "Overloaded"}
        if self.name == "openai":
            return sse({"error": error})
        return sse({"type": "error", "error": error}, "error")


OPENAI = Provider("openai", "gpt-4o-mini", "/v1/chat/completions")
ANTHROPIC = Provider("anthropic", "claude-sonnet-5-5", "/v1/messages")


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as running:
        yield running


@pytest.fixture(params=[OPENAI, ANTHROPIC], ids=lambda provider: provider.name)
def provider(request: pytest.FixtureRequest) -> Provider:
    return request.param


@pytest.fixture(autouse=True)
def _settings(settings: Any, server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OPENAI_API_KEY, settings.ANTHROPIC_API_KEY = "sk-openai-secret", "sk-anthropic-secret"
    settings.OPENAI_BASE_URL, settings.ANTHROPIC_BASE_URL = server.openai_url, server.anthropic_url
    settings.LLM_CONNECT_TIMEOUT, settings.LLM_FIRST_TOKEN_TIMEOUT, settings.LLM_TOTAL_TIMEOUT = 1.0, 2.0, 4.0
    settings.FALLBACK_TO_OTHER_PROVIDER = False
    llms.preload()  # as every process does at its start: importing an SDK is no provider's silence
    monkeypatch.setattr(wire, "FIRST_BACK_OFF", 0.02)
    monkeypatch.setattr(registry, "_gone", set())
    monkeypatch.setattr(registry, "_said", set())
    monkeypatch.setattr(choice, "today", lambda: datetime.date(2026, 11, 22))


@pytest.fixture
def prompt() -> llms.Prompt:
    return prompts.build(Client(name="Acme"), "How long can I return shoes?", PASSAGES)


@asynccontextmanager
async def asked(prompt: llms.Prompt, model: str) -> AsyncIterator[llms.Stream]:
    found = llms.find(model)
    assert found is not None
    try:
        async with llms.stream(prompt, found) as stream:
            yield stream
    finally:
        await llms.close()


async def drained(prompt: llms.Prompt, model: str) -> tuple[list[str], llms.Stream]:
    async with asked(prompt, model) as stream:
        return [piece async for piece in stream], stream


async def failed(prompt: llms.Prompt, model: str) -> tuple[llms.LlmError, list[str], llms.Stream]:
    pieces = []
    async with asked(prompt, model) as stream:
        with pytest.raises(llms.LlmError) as caught:
            async for piece in stream:
                pieces.append(piece)
    return caught.value, pieces, stream


# --- what goes well -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_pieces_arrive_as_produced_however_the_bytes_are_cut(
    provider: Provider, server: LlmServer, prompt: Any, size: int
):
    server.script(cut(provider.events(PIECES), size))
    pieces, stream = await drained(prompt, provider.model)
    assert pieces == [piece for piece in PIECES if piece]
    assert stream.usage == llms.Usage(provider.model, 812, 96)
    assert (stream.stop, stream.reached_model) == ("end", True)


async def test_lines_that_end_in_crlf_and_comments_are_read_too(provider: Provider, server: LlmServer, prompt: Any):
    server.script([b": hello\r\n\r\n", *(event.replace(b"\n", b"\r\n") for event in provider.events(["a", "b"]))])
    assert (await drained(prompt, provider.model))[0] == ["a", "b"]


@pytest.mark.parametrize("reason", ["length", "refusal"])
async def test_why_an_answer_stopped_is_told(provider: Provider, server: LlmServer, prompt: Any, reason: str):
    server.script(provider.stopped(["I"], reason))
    pieces, stream = await drained(prompt, provider.model)
    assert (pieces, stream.stop, stream.usage.exact) == (["I"], reason, True)


async def test_a_refusal_without_a_word_is_no_error(provider: Provider, server: LlmServer, prompt: Any):
    server.script(provider.stopped([], "refusal"))
    pieces, stream = await drained(prompt, provider.model)
    assert (pieces, stream.stop) == ([], "refusal")


async def test_one_client_serves_many_answers_at_once_and_keeps_its_connections(
    provider: Provider, server: LlmServer, prompt: Any
):
    server.script(provider.events(["a", "b"]))
    model = llms.find(provider.model)
    assert model is not None

    async def one() -> list[str]:
        async with llms.stream(prompt, model) as stream:
            return [piece async for piece in stream]

    try:
        assert await asyncio.gather(*(one() for _ in range(20))) == [["a", "b"]] * 20
        before = server.connections
        for _ in range(5):
            assert await one() == ["a", "b"]
        assert server.connections == before
    finally:
        await llms.close()


async def test_openai_cache_reads_are_in_the_usage_and_the_cost(server: LlmServer, prompt: Any):
    server.script(openai_events(["a"], usage=openai_usage(2000, 100, cached=1500)))
    _, stream = await drained(prompt, "gpt-4o-mini")
    assert stream.usage == llms.Usage("gpt-4o-mini", 2000, 100, cache_read_tokens=1500)
    expected = (500 * Decimal("0.15") + 1500 * Decimal("0.075") + 100 * Decimal("0.60")) / 1_000_000
    assert llms.cost(stream.usage, stream.model) == expected


async def test_anthropic_cache_reads_and_writes_are_in_the_usage_and_the_cost(server: LlmServer, prompt: Any):
    usage = {"input_tokens": 100, "cache_read_input_tokens": 1200, "cache_creation_input_tokens": 300}
    server.script(anthropic_events(["a"], usage=usage, output_tokens=50))
    _, stream = await drained(prompt, "claude-sonnet-5-5")
    assert stream.usage == llms.Usage("claude-sonnet-5-5", 1600, 50, cache_read_tokens=1200, cache_write_tokens=300)
    expected = (100 * Decimal(2) + 1200 * Decimal("0.20") + 300 * Decimal("2.50") + 50 * Decimal(10)) / 1_000_000
    assert llms.cost(stream.usage, stream.model) == expected


async def test_anthropic_citations_become_marks_at_the_end_of_their_text_block(server: LlmServer, prompt: Any):
    pieces = [
        "Within 30 days",
        citation(0, 1),
        ".",
        BLOCK,
        " In ",
        "Köln.",
        citation(1, 1),
        citation(1, 1),
        BLOCK,
        " Bye.",
    ]
    server.script(anthropic_events(pieces))
    found, _ = await drained(prompt, "claude-sonnet-4-5")
    assert found == ["Within 30 days", ".", "[1#0]", " In ", "Köln.", "[2#0]", " Bye."]


async def test_what_anthropic_does_not_repeat_at_the_end_stays_as_it_was_said(server: LlmServer, prompt: Any):
    usage = {"input_tokens": 100, "cache_read_input_tokens": 1200, "cache_creation_input_tokens": 300}
    *events, _, stop = anthropic_events(["a"], usage=usage)
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    server.script([*events, sse({**last, "usage": {"input_tokens": 100, "output_tokens": 5}}, "message_delta"), stop])
    _, stream = await drained(prompt, "claude-sonnet-5-5")
    assert stream.usage == llms.Usage("claude-sonnet-5-5", 1600, 5, cache_read_tokens=1200, cache_write_tokens=300)


# --- what is sent ---------------------------------------------------------------------------------------


async def test_openai_is_asked_with_what_its_model_understands(server: LlmServer, prompt: Any):
    server.script(openai_events(["a"]))
    await drained(prompt, "gpt-4o-mini")
    await drained(prompt, "gpt-6-luna")
    await drained(prompt, "llama3.2")
    old, new, own = (request.body for request in server.requests)
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer sk-openai-secret"}
    assert old["stream_options"] == {"include_usage": True}
    assert (old["max_tokens"], "max_completion_tokens" in old) == (1000, False)
    assert (new["max_completion_tokens"], new["reasoning_effort"], "max_tokens" in new) == (1000, "none", False)
    assert "temperature" not in new
    assert (own["model"], own["max_tokens"], "reasoning_effort" in own) == ("llama3.2", 1000, False)


async def test_anthropic_is_asked_with_a_cached_prefix_and_citable_sentences(server: LlmServer, prompt: Any):
    server.script(anthropic_events(["a"]))
    await drained(prompt, "claude-sonnet-5-5")
    body = server.requests[0].body
    stable, volatile = body["system"]
    assert stable["cache_control"] == {"type": "ephemeral"}
    assert prompt.fence not in stable["text"]
    assert prompt.fence in volatile["text"]
    results = [block for block in body["messages"][-1]["content"] if block["type"] == "search_result"]
    assert [len(result["content"]) for result in results] == [4, 3]  # the sentences between two fences
    assert results[0]["content"][1]["text"] == "Shoes can be returned within 30 days."
    assert all(result["citations"] == {"enabled": True} for result in results)
    assert (body["thinking"], body["output_config"]) == ({"type": "between_tools"}, {"effort": "low"})
    assert "temperature" not in body


# --- what goes wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [429, 500, 503, 529])
async def test_a_passing_failure_is_tried_again_before_the_first_piece(
    provider: Provider, server: LlmServer, prompt: Any, code: int
):
    server.script(status(code), status(code), Reply(provider.events(["ok"])))
    pieces, _ = await drained(prompt, provider.model)
    assert (pieces, len(server.requests)) == (["ok"], 3)


async def test_a_lasting_failure_is_an_error_without_internals_and_reached_no_model(
    provider: Provider, server: LlmServer, prompt: Any
):
    server.script(status(500))
    error, pieces, stream = await failed(prompt, provider.model)
    assert (error.code, error.reached_model, pieces, len(server.requests)) == ("LLM_ERROR", False, [], wire.TRIES)
    assert str(error) == "The answering service is not available at the moment. Please try again shortly."
    assert stream.usage == llms.Usage(provider.model, 0, 0)


async def test_retry_after_is_waited_for(provider: Provider, server: LlmServer, prompt: Any):
    server.script(status(429, retry_after=0.5), Reply(provider.events(["ok"])))
    await drained(prompt, provider.model)
    assert server.requests[1].at - server.requests[0].at >= 0.5


async def test_a_retry_after_beyond_the_deadline_fails_at_once(provider: Provider, server: LlmServer, prompt: Any):
    server.script(status(429, retry_after=60))
    began = time.monotonic()
    error, _, _ = await failed(prompt, provider.model)
    assert (error.code, error.reached_model, len(server.requests)) == ("LLM_ERROR", False, 1)
    assert time.monotonic() - began < 1


async def test_a_wrong_key_or_request_is_not_tried_again(provider: Provider, server: LlmServer, prompt: Any):
    server.script(status(401))
    error, _, _ = await failed(prompt, provider.model)
    assert (error.code, error.reached_model, len(server.requests)) == ("LLM_ERROR", False, 1)


async def test_silence_before_the_first_piece_is_a_timeout(
    provider: Provider, server: LlmServer, prompt: Any, settings: Any
):
    settings.LLM_FIRST_TOKEN_TIMEOUT = 0.3
    server.script([HANG])
    error, _, _ = await failed(prompt, provider.model)
    assert (error.code, error.reached_model) == ("TIMEOUT", False)
    assert await asyncio.to_thread(server.wait_until_left, server.requests[0]) < 1


async def test_silence_after_the_first_piece_is_a_timeout_that_reached_the_model(
    provider: Provider, server: LlmServer, prompt: Any, settings: Any
):
    settings.LLM_FIRST_TOKEN_TIMEOUT = 0.3
    server.script([*provider.unfinished(["half"]), HANG])
    error, pieces, stream = await failed(prompt, provider.model)
    assert (error.code, error.reached_model, pieces) == ("TIMEOUT", True, ["half"])
    assert stream.usage.prompt_tokens > 0
    assert await asyncio.to_thread(server.wait_until_left, server.requests[0]) < 1


async def test_a_drip_ends_at_the_total_deadline(provider: Provider, server: LlmServer, prompt: Any, settings: Any):
    settings.LLM_TOTAL_TIMEOUT = 0.5
    server.script(paced(provider.events(["drip "] * 100), 0.01, 0.05))
    began = time.monotonic()
    error, pieces, _ = await failed(prompt, provider.model)
    assert (error.code, error.reached_model) == ("TIMEOUT", True)
    assert 2 < len(pieces) < 15
    assert time.monotonic() - began < 1.5


async def test_nobody_listening_is_an_error(
    provider: Provider, server: LlmServer, prompt: Any, settings: Any, unused_port: int
):
    settings.OPENAI_BASE_URL = settings.ANTHROPIC_BASE_URL = f"http://127.0.0.1:{unused_port}"
    error, _, _ = await failed(prompt, provider.model)
    assert (error.code, error.reached_model) == ("LLM_ERROR", False)


@pytest.mark.parametrize("ending", [[], [RESET]], ids=["ends early", "reset"])
async def test_half_a_stream_is_an_error_and_is_not_tried_again(
    provider: Provider, server: LlmServer, prompt: Any, ending: list[Any]
):
    server.script([*provider.unfinished(["half", " an"]), 0.05, *ending])
    error, pieces, stream = await failed(prompt, provider.model)
    assert (error.code, error.reached_model, pieces, len(server.requests)) == ("LLM_ERROR", True, ["half", " an"], 1)
    assert stream.usage.exact is False


@pytest.mark.parametrize(
    "rubbish", [b"data: {not json\n\n", b"data: 42\n\n", b'data: {"choices": 7, "type": 1}\n\n', b"data: \xff\xfe\n\n"]
)
async def test_a_malformed_event_is_an_error(provider: Provider, server: LlmServer, prompt: Any, rubbish: bytes):
    server.script([*provider.unfinished(["half"]), rubbish, *provider.events(["more"])])
    error, pieces, _ = await failed(prompt, provider.model)
    assert (error.code, error.reached_model, pieces) == ("LLM_ERROR", True, ["half"])


async def test_an_error_event_before_the_first_piece_is_tried_again(provider: Provider, server: LlmServer, prompt: Any):
    server.script(Reply([provider.error_event()]), Reply(provider.events(["ok"])))
    assert (await drained(prompt, provider.model))[0] == ["ok"]


async def test_an_error_event_after_it_is_an_error(provider: Provider, server: LlmServer, prompt: Any):
    server.script([*provider.unfinished(["half"]), provider.error_event()])
    error, pieces, _ = await failed(prompt, provider.model)
    assert (error.code, error.reached_model, pieces) == ("LLM_ERROR", True, ["half"])


async def test_a_complete_answer_without_text_is_an_error(provider: Provider, server: LlmServer, prompt: Any):
    server.script(provider.events([]))
    error, _, stream = await failed(prompt, provider.model)
    assert (error.code, error.reached_model) == ("LLM_ERROR", True)
    assert stream.usage.completion_tokens == 96


async def test_a_connection_that_breaks_after_the_end_does_no_harm(provider: Provider, server: LlmServer, prompt: Any):
    events = provider.events(["all"])
    server.script([*events[:-1], 0.05, RESET])
    pieces, stream = await drained(prompt, provider.model)
    assert (pieces, stream.stop) == (["all"], "end")


# --- the visitor leaves ---------------------------------------------------------------------------------


async def test_closing_the_stream_closes_the_connection_and_knows_the_tokens(
    provider: Provider, server: LlmServer, prompt: Any
):
    server.script(paced(provider.events([f"word{n} " for n in range(100)]), 0, 0.02))
    async with asked(prompt, provider.model) as stream:
        async for piece in stream:
            if piece == "word3 ":
                break
        await stream.aclose()
        assert await asyncio.to_thread(server.wait_until_left, server.requests[0]) < 1
    usage = stream.usage
    assert usage.exact is False
    assert 4 <= usage.completion_tokens <= 20
    if provider.name == "anthropic":
        assert usage.prompt_tokens == 812  # message_start said so
    else:
        assert usage.prompt_tokens > 1000  # the rules and the passages, estimated


async def test_cancelling_the_reader_closes_the_connection(provider: Provider, server: LlmServer, prompt: Any):
    server.script([HANG])
    task = asyncio.create_task(drained(prompt, provider.model))
    await asyncio.to_thread(server.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.wait_until_left, server.requests[0]) < 1


# --- somebody else answers ----------------------------------------------------------------------------------


async def test_a_model_that_its_maker_withdrew_is_replaced_by_its_successor(server: LlmServer, prompt: Any):
    server.script(
        status(
            404, body={"type": "error", "error": {"type": "not_found_error", "message": "model: claude-sonnet-4-5"}}
        ),
        Reply(anthropic_events(["ok"])),
    )
    pieces, stream = await drained(prompt, "claude-sonnet-4-5")
    assert (pieces, stream.model.id, stream.usage.model) == (["ok"], "claude-sonnet-5-5", "claude-sonnet-5-5")
    found = llms.find("claude-sonnet-4-5")
    assert found is not None
    assert found.id == "claude-sonnet-5-5"


@pytest.mark.parametrize("code", [400, 404, 410])
async def test_openai_s_ways_of_saying_that_a_model_is_gone(server: LlmServer, prompt: Any, code: int):
    error = {"message": "The model `gpt-4o-mini` has been deprecated", "type": "invalid_request_error", "param": None}
    server.script(
        status(code, body={"error": {**error, "code": "model_not_found"}}), Reply(openai_events(["ok"])), status(400)
    )
    pieces, stream = await drained(prompt, "gpt-4o-mini")
    assert (pieces, stream.model.id) == (["ok"], "gpt-6-luna")
    assert (await failed(prompt, "gpt-6-luna"))[2].model.id == "gpt-6-luna"  # a bad request says nothing of the model


@pytest.mark.parametrize("down", [[status(500)] * wire.TRIES, [status(429, retry_after=60)]])
async def test_the_other_provider_answers_only_where_the_operator_allowed_it(
    server: LlmServer, prompt: Any, settings: Any, down: list[Reply]
):
    settings.FALLBACK_TO_OTHER_PROVIDER = True
    server.script(*down, Reply(anthropic_events(["ok"])))
    pieces, stream = await drained(prompt, "gpt-4o-mini")
    assert (pieces, stream.model.id) == (["ok"], "claude-sonnet-4-5")
    settings.FALLBACK_TO_OTHER_PROVIDER = False
    server.script(*down)
    error, _, _ = await failed(prompt, "gpt-4o-mini")
    assert error.code == "LLM_ERROR"


async def test_the_other_provider_answers_in_the_time_that_a_silent_one_leaves(
    server: LlmServer, prompt: Any, settings: Any
):
    settings.FALLBACK_TO_OTHER_PROVIDER = True
    server.script([HANG], Reply(paced(anthropic_events(["ok"]), 0.2, 0.0)))
    started = time.monotonic()
    async with llms.stream(prompt, llms.MODELS["gpt-4o-mini"], llms.Patience.of(1.0)) as stream:
        assert ([piece async for piece in stream], stream.model.id) == (["ok"], "claude-sonnet-4-5")
    assert 0.5 < time.monotonic() - started < 1.0
    server.script([HANG])
    started = time.monotonic()
    async with llms.stream(prompt, llms.MODELS["gpt-4o-mini"], llms.Patience.of(1.0)) as stream:
        with pytest.raises(llms.LlmError) as silent:
            await anext(aiter(stream))
    assert (silent.value.code, silent.value.reached_model) == ("TIMEOUT", False)
    assert 1.0 <= time.monotonic() - started < 1.5
    await llms.close()


async def test_nobody_steps_in_after_the_first_piece(server: LlmServer, prompt: Any, settings: Any):
    settings.FALLBACK_TO_OTHER_PROVIDER = True
    server.script(Reply(openai_events(["half"], finish=None)), Reply(anthropic_events(["other"])))
    error, pieces, _ = await failed(prompt, "gpt-4o-mini")
    assert (error.reached_model, pieces, len(server.requests)) == (True, ["half"], 1)


# --- servers of one's own ---------------------------------------------------------------------------------------


async def test_a_server_that_sends_no_usage_is_estimated(server: LlmServer, prompt: Any):
    server.script([*openai_events(["Thirty days."])[:-2], b"data: [DONE]\n\n"])
    _, stream = await drained(prompt, "llama3.2")
    assert stream.usage == llms.Usage("llama3.2", stream.usage.prompt_tokens, 3, exact=False)
    assert 1000 < stream.usage.prompt_tokens < 2000


async def test_a_server_that_says_that_there_is_no_error_or_nothing_is_understood(server: LlmServer, prompt: Any):
    say = {"error": None, "choices": [{"index": 0, "delta": {"content": "Thirty"}, "finish_reason": None}]}
    end = {"error": None, "choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}
    server.script([sse(say), sse(end), b"data: [DONE]\n\n"])
    pieces, stream = await drained(prompt, "llama3.2")
    assert (pieces, stream.stop) == (["Thirty"], "end")


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["<think>", "Hm, [1]?", "\n", "</think>", "Thirty", " days."], "Thirty days."),
        (["<thi", "nk>no</thi", "nk> Thirty"], "Thirty"),
        (["<", "3 it"], "<3 it"),
        ([" Thirty <think> days"], " Thirty <think> days"),
    ],
)
async def test_what_an_open_model_thinks_aloud_is_not_said(
    server: LlmServer, prompt: Any, pieces: list[str], expected: str
):
    server.script(openai_events(pieces))
    assert "".join((await drained(prompt, "qwen3"))[0]) == expected
