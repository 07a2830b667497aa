"""What every embedder keeps, and what the provider's one does on the provider's bad days."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.core.cache import cache

from knowledge.embeddings import EmbeddingError, get_embedder, local, openai
from knowledge.embeddings import cache as embedding_cache
from knowledge.embeddings.base import Embedder
from knowledge.embeddings.cache import CachedEmbedder, forget_questions
from knowledge.embeddings.models import EmbeddingModel, find_model, model_of
from tests.contracts.embedding_server import DIMENSIONS, Bad, Provider, embedding_provider, good_answer, vector_of

TEXTS = ["Boots can be returned within 60 days.", "Shipping takes three days.", "Boots can be returned within 60 days."]
MODEL = EmbeddingModel("scripted", DIMENSIONS)
ACME, STRANGER = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    settings.OPENAI_API_KEY = "sk-test"
    with embedding_provider() as running:
        settings.EMBEDDING_BASE_URL = running.url
        yield running


@pytest.fixture(scope="module")
def mini_lm() -> local.MiniLm:
    return local.MiniLm()


@pytest.fixture(params=["local", "openai"])
def embedder(request: pytest.FixtureRequest, mini_lm: local.MiniLm, provider: Provider) -> Embedder:
    return mini_lm if request.param == "local" else openai.OpenAiEmbedder(MODEL)


def test_one_array_of_unit_vectors_a_text_in_order(embedder: Embedder) -> None:
    seen: list[int] = []
    vectors, _ = embedder.embed_passages(TEXTS, seen.append)
    assert [(v.dtype, v.shape) for v in vectors] == [(np.float32, (1, embedder.dimensions))] * 3
    assert np.allclose([np.linalg.norm(v) for v in vectors], 1, atol=1e-5)
    assert np.allclose(vectors[0], vectors[2], atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1], atol=0.1)
    assert seen[-1] == 3


def test_a_question_is_nearest_to_the_same_words(embedder: Embedder) -> None:
    vectors, _ = embedder.embed_passages(TEXTS)
    question = async_to_sync(embedder.embed_question)(TEXTS[1])
    assert question.shape == (embedder.dimensions,)
    assert int(np.argmax([(v @ question).max() for v in vectors])) == 1


def test_nothing_costs_nothing(embedder: Embedder) -> None:
    assert embedder.embed_passages([]) == ([], 0)


def test_odd_texts_have_vectors_too(embedder: Embedder) -> None:
    vectors, _ = embedder.embed_passages(["", "   ", "\n", "靴は60日以内に返品できます", "x" * 5000, "🥾"])
    assert all(np.isfinite(v).all() and v.shape[1] == embedder.dimensions for v in vectors)


# --- the local model ---------------------------------------------------------------------------------------


def test_a_long_text_is_several_windows(mini_lm: local.MiniLm) -> None:
    words = " ".join(f"sentence number {n} about boots." for n in range(100))
    [vectors], tokens = mini_lm.embed_passages([words])
    assert vectors.shape[0] > 1
    assert tokens == 0


def test_local_vectors_are_what_the_model_is_known_for(mini_lm: local.MiniLm) -> None:
    question = async_to_sync(mini_lm.embed_question)("How long do I have to send shoes back?")
    [[right], [wrong], *_], _ = mini_lm.embed_passages(TEXTS)
    assert right @ question > 0.45
    assert right @ question > wrong @ question + 0.15


def test_a_damaged_model_file_is_refused(tmp_path: Any) -> None:
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(b"not the model")
    with pytest.raises(EmbeddingError, match=r"model\.onnx") as error:
        local._checked(damaged, local.MODEL_SHA256)
    assert not error.value.transient


# --- the provider ------------------------------------------------------------------------------------------


def test_asks_as_the_provider_wants_and_counts_its_tokens(provider: Provider) -> None:
    vectors, tokens = openai.OpenAiEmbedder(MODEL).embed_passages(TEXTS)
    assert tokens == sum(len(text.split()) for text in TEXTS)
    assert np.allclose(vectors[1][0], vector_of(TEXTS[1]) / np.linalg.norm(vector_of(TEXTS[1])), atol=1e-6)
    assert provider.requests == [
        {
            "model": "scripted",
            "input": TEXTS,
            "encoding_format": "base64",
            "_path": "/v1/embeddings",
            "_key": "Bearer sk-test",
        }
    ]


def test_a_shortened_model_asks_for_its_size(provider: Provider) -> None:
    model = EmbeddingModel("scripted", DIMENSIONS, shortens=True)
    openai.OpenAiEmbedder(model).embed_passages(["boots"])
    assert provider.requests[0]["dimensions"] == DIMENSIONS


def test_batches_are_filled_several_are_in_flight_and_order_is_kept(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "BATCH_TEXTS", 7)
    monkeypatch.setattr(openai, "BATCH_BYTES", 60)
    provider.delay = 0.05
    texts = [f"text {n}" for n in range(50)] + ["a long text " * 10, "short"]
    vectors, _ = openai.OpenAiEmbedder(MODEL).embed_passages(texts)
    expected = [vector_of(t) / np.linalg.norm(vector_of(t)) for t in texts]
    assert np.allclose(np.concatenate(vectors), expected, atol=1e-6)
    assert 1 < provider.most_in_flight <= openai.IN_FLIGHT
    sizes = [len(r["input"]) for r in provider.requests]
    assert max(sizes) == 7
    assert ["a long text " * 10] in [r["input"] for r in provider.requests]


@pytest.mark.parametrize(
    "too_much",
    [
        Bad(413, {"error": {"message": "batch too large"}}),
        Bad(400, {"error": {"message": "Requested 430000 tokens", "code": "max_tokens_per_request"}}),
    ],
    ids=["another server", "OpenAI"],
)
def test_a_server_that_takes_fewer_texts_gets_halves(provider: Provider, too_much: Bad) -> None:
    provider.too_much = too_much
    provider.most_texts = 2
    texts = [f"text {n}" for n in range(9)]
    vectors, tokens = openai.OpenAiEmbedder(MODEL).embed_passages(texts)
    assert np.allclose(np.concatenate(vectors), [vector_of(t) / np.linalg.norm(vector_of(t)) for t in texts], atol=1e-6)
    assert tokens == 18


def test_lists_of_numbers_are_read_as_well(provider: Provider) -> None:
    provider.as_lists = True
    [[vector]], _ = openai.OpenAiEmbedder(MODEL).embed_passages(["boots"])
    assert np.allclose(vector, vector_of("boots") / np.linalg.norm(vector_of("boots")), atol=1e-6)


def test_one_connection_serves_many_documents(provider: Provider) -> None:
    for text in TEXTS:
        openai.OpenAiEmbedder(MODEL).embed_passages([text])
    assert len(provider.requests) == 3 and provider.connections == 1


def test_a_connection_that_the_provider_has_closed_meanwhile_costs_no_attempt(provider: Provider) -> None:
    provider.script = [Bad(200, good_answer(["boots"]), leaves=True)]
    openai.OpenAiEmbedder(MODEL).embed_passages(["boots"])
    time.sleep(0.1)  # between two documents
    started = time.monotonic()
    openai.OpenAiEmbedder(MODEL).embed_passages(["tents"])
    assert time.monotonic() - started < 0.2  # a failed request is repeated after 0.25 s at the soonest
    assert len(provider.requests) == provider.connections == 2


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_what_is_interrupted_does_not_go_on_with_the_next_document(
    provider: Provider, interruption: type[BaseException]
) -> None:
    def interrupt(done: int) -> None:
        raise interruption

    provider.script = [Bad(200, good_answer(["boots"]))]
    with pytest.raises(interruption):
        openai.OpenAiEmbedder(MODEL).embed_passages(["boots"], interrupt)
    vectors, _ = openai.OpenAiEmbedder(MODEL).embed_passages(["tents"])
    assert len(vectors) == 1 and [r["input"] for r in provider.requests] == [["boots"], ["tents"]]


@pytest.mark.parametrize(
    ("bad", "least_seconds"),
    [
        (Bad(429, {}, {"Retry-After": "1"}), 1.0),
        (Bad(429, {}, {"retry-after-ms": "300"}), 0.3),
        (Bad(429, {}), 0.2),
        (Bad(500, b"oops"), 0.2),
        (Bad(503, {"error": {"message": "overloaded"}}), 0.2),
        (Bad(reset=True), 0.2),
    ],
    ids=["429 Retry-After", "429 milliseconds", "429", "500", "503", "reset"],
)
def test_what_passes_is_waited_for(provider: Provider, bad: Bad, least_seconds: float) -> None:
    provider.script = [bad]
    started = time.monotonic()
    vectors, _ = openai.OpenAiEmbedder(MODEL).embed_passages(["boots"])
    assert len(vectors) == 1
    assert least_seconds <= time.monotonic() - started < least_seconds + 2
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    "bad",
    [
        Bad(401, {"error": {"message": "no such key", "code": "invalid_api_key"}}),
        Bad(400, {"error": {"message": "no such model"}}),
        Bad(429, {"error": {"message": "pay first", "code": "insufficient_quota"}}),
        Bad(200, {"data": [{"index": 0, "embedding": [1.0, 2.0]}]}),
        Bad(200, {"data": [{"index": 0, "embedding": [float("nan")] * DIMENSIONS}]}),
        Bad(200, {"data": [{"index": 0, "embedding": [0.0] * DIMENSIONS}]}),
        Bad(200, {"data": [{"index": 0, "embedding": "AAA"}]}),
        Bad(200, b"<html>"),
        Bad(302, {}, {"Location": "http://127.0.0.1:9/"}),
    ],
    ids=["key", "model", "quota", "size", "NaN", "zero", "base64", "html", "redirect"],
)
def test_what_does_not_pass_fails_loudly_and_at_once(provider: Provider, bad: Bad) -> None:
    provider.script = [bad]
    with pytest.raises(EmbeddingError) as error:
        openai.OpenAiEmbedder(MODEL).embed_passages(["boots"])
    assert not error.value.transient
    assert len(provider.requests) == 1


def test_one_bad_batch_fails_the_whole_call(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "BATCH_TEXTS", 2)
    short = good_answer(["only one"])
    provider.script = [Bad(200, short)]
    with pytest.raises(EmbeddingError):
        openai.OpenAiEmbedder(MODEL).embed_passages([f"text {n}" for n in range(10)])


def test_an_answer_that_never_comes_ends_at_the_deadline(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "PASSAGES_SECONDS", 0.6)
    monkeypatch.setattr(openai, "QUESTION_SECONDS", 0.3)
    provider.script = [Bad(hang=3), Bad(hang=3), Bad(429, {}, {"Retry-After": "60"})]
    embedder = openai.OpenAiEmbedder(MODEL)
    started = time.monotonic()
    for call in (lambda: embedder.embed_passages(["boots"]), lambda: async_to_sync(embedder.embed_question)("boots")):
        with pytest.raises(EmbeddingError) as error:
            call()
        assert error.value.transient
    with pytest.raises(EmbeddingError):
        embedder.embed_passages(["boots"])  # told to wait longer than there is time: at once
    assert time.monotonic() - started < 2


# --- the cache ---------------------------------------------------------------------------------------------


@pytest.fixture
def cached(provider: Provider) -> CachedEmbedder:
    cache.clear()
    forget_questions(ACME)
    return CachedEmbedder(openai.OpenAiEmbedder(MODEL), ACME)


@pytest.mark.usefixtures("each_redis")
def test_passages_are_asked_for_once_an_hour(provider: Provider, cached: CachedEmbedder) -> None:
    first, tokens = cached.embed_passages(TEXTS)
    assert provider.requests[0]["input"] == TEXTS[:2]  # the same text is sent once
    assert tokens == sum(len(text.split()) for text in TEXTS[:2])
    seen: list[int] = []
    second, tokens = cached.embed_passages(["  Shipping takes\nthree days. ", "new", *TEXTS], seen.append)
    assert [r["input"] for r in provider.requests[1:]] == [["new"]]
    assert tokens == 1
    assert [v.tolist() for v in second[2:]] == [v.tolist() for v in first]
    assert second[0].tolist() == first[1].tolist()
    assert seen == [4, 5]
    key = next(cache._cache.get_client().scan_iter(f"*{ACME}*:passage:*"))
    assert 3500 < cache._cache.get_client().ttl(key) <= 3600


@pytest.mark.usefixtures("each_redis")
def test_questions_are_remembered_here_and_in_redis(provider: Provider, cached: CachedEmbedder) -> None:
    async def asked(question: str) -> np.ndarray:
        vector = await cached.embed_question(question)
        await asyncio.gather(*embedding_cache._sharing)  # for which no visitor waits
        return vector

    ask = async_to_sync(asked)
    first = ask("boots?")
    assert ask("boots?") is first
    forget_questions(STRANGER)
    assert ask("boots?") is first
    forget_questions(ACME)  # as another process
    assert ask("boots?").tolist() == first.tolist()
    assert len(provider.requests) == 1


@pytest.mark.usefixtures("each_redis")
def test_what_costs_no_call_is_not_asked_of_redis(mini_lm: local.MiniLm) -> None:
    cache.clear()
    forget_questions(ACME)
    own = CachedEmbedder(mini_lm, ACME)
    first = async_to_sync(own.embed_question)("boots?")
    assert async_to_sync(own.embed_question)("boots?") is first
    assert not list(cache._cache.get_client().scan_iter("*:question:*"))


@pytest.mark.usefixtures("each_redis")
def test_nothing_is_shared_between_clients_models_and_kinds(provider: Provider, cached: CachedEmbedder) -> None:
    other_size = openai.OpenAiEmbedder(EmbeddingModel("other", DIMENSIONS))
    cached.embed_passages(["boots"])
    CachedEmbedder(cached._inner, STRANGER).embed_passages(["boots"])
    CachedEmbedder(other_size, ACME).embed_passages(["boots"])
    async_to_sync(cached.embed_question)("boots")
    assert len(provider.requests) == 4


def test_without_redis_and_with_a_dead_one_embedding_goes_on(
    provider: Provider, cached: CachedEmbedder, settings: Any
) -> None:
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9/0"}
    }
    assert len(cached.embed_passages(["boots"])[0]) == 1
    settings.REDIS_URL = ""
    assert len(cached.embed_passages(["boots"])[0]) == 1
    assert async_to_sync(cached.embed_question)("boots").shape == (DIMENSIONS,)


# --- models as data ----------------------------------------------------------------------------------------


def test_a_key_names_a_model_at_a_size() -> None:
    for model in (
        find_model("text-embedding-3-small", 512),
        find_model("BAAI/bge-m3", 1024),
        find_model("all-minilm-l6-v2"),
    ):
        assert model_of(model.key) == model
        assert "/" not in model.key
    for name, size in (("all-minilm-l6-v2", 512), ("unheard-of", 0)):
        with pytest.raises(ValueError, match="EMBEDDING_DIMENSIONS"):
            find_model(name, size)


def test_one_provider_a_process(settings: Any) -> None:
    settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS = "all-minilm-l6-v2", 0
    assert get_embedder()._inner is get_embedder("all-minilm-l6-v2@384", ACME)._inner
