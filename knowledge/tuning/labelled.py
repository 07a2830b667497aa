"""Labelled questions from files, and what the real embedder and the real store find for them."""

import functools
import json
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from knowledge.chunking import chunk
from knowledge.embeddings.base import Embedder
from knowledge.embeddings.models import EmbeddingModel
from knowledge.parsers.base import Parsed
from knowledge.vectors import Candidate, Point
from knowledge.vectors.shards import Shards

CANDIDATES = 50
TOPICS = (1, 4, 12)  # sizes of the small knowledge bases that off-topic questions are put to
OFF_TOPIC = 300  # questions a knowledge base


@dataclass(frozen=True)
class Asked:
    """A question and its topic; `start` and `end` span its answer in the topic's text."""

    text: str
    topic: int
    start: int
    end: int


@dataclass(frozen=True)
class Passage:
    topic: int
    start: int
    text: str


@dataclass(frozen=True)
class LabelledSet:
    """Questions over topics that have nothing to do with one another, and the passages to find."""

    name: str
    passages: tuple[Passage, ...]
    questions: tuple[Asked, ...]

    def right(self, asked: Asked) -> frozenset[int]:
        """The passages that hold the answer, or else its beginning."""
        own = [(i, p) for i, p in enumerate(self.passages) if p.topic == asked.topic]
        whole = frozenset(i for i, p in own if p.start <= asked.start and asked.end <= p.start + len(p.text))
        return whole or frozenset(i for i, p in own if p.start <= asked.start < p.start + len(p.text))


@dataclass(frozen=True)
class Trial:
    """One question put to one knowledge base. `right` is empty for a question that is off its topics."""

    base: str
    question: str
    right: frozenset[uuid.UUID]
    candidates: tuple[Candidate, ...]
    whole: bool  # the base is the whole set: the measure of finding

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """(candidates, 3): dense, sparse, coverage."""
        return np.array([(c.dense, c.sparse, c.coverage) for c in self.candidates]).reshape(-1, 3)


def read_sets(directory: Path) -> list[LabelledSet]:
    """SQuAD-format `*.json`, as paragraphs and as articles cut into chunks, and `*-answerable.jsonl` of passages."""
    sets: list[LabelledSet] = []
    for file in sorted(directory.glob("*.json")):
        articles = json.loads(file.read_text())["data"]
        paragraphs = _squad(file.stem, articles)
        sets += [paragraphs, _chunked(paragraphs)]
    sets += [_passages(file) for file in sorted(directory.glob("*-answerable.jsonl"))]
    return sets


def _squad(name: str, articles: list[dict]) -> LabelledSet:
    passages, questions = [], []
    for topic, article in enumerate(articles):
        place = 0
        for paragraph in article["paragraphs"]:
            passages.append(Passage(topic, place, paragraph["context"]))
            for asked in paragraph["qas"]:
                answer = asked["answers"][0]
                start = place + answer["answer_start"]
                questions.append(Asked(asked["question"], topic, start, start + len(answer["text"])))
            place += len(paragraph["context"]) + 2
    return LabelledSet(f"{name} paragraphs", tuple(passages), tuple(questions))


def _chunked(paragraphs: LabelledSet) -> LabelledSet:
    """The same articles as the product cuts them."""
    passages = []
    for topic in dict.fromkeys(p.topic for p in paragraphs.passages):
        text = "\n\n".join(p.text for p in paragraphs.passages if p.topic == topic)
        passages += [Passage(topic, span.start, span.text) for span in chunk(Parsed(text, (), None))]
    return replace(paragraphs, name=paragraphs.name.replace("paragraphs", "chunks"), passages=tuple(passages))


def _passages(file: Path) -> LabelledSet:
    """One topic a line: a question and the passage that answers it."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    texts = [row["passages"][0]["text"] for row in rows]
    passages = tuple(Passage(topic, 0, text) for topic, text in enumerate(texts))
    questions = tuple(Asked(row["input"], topic, 0, len(texts[topic])) for topic, row in enumerate(rows))
    return LabelledSet(file.stem, passages, questions)


class Laboratory:
    """Runs labelled sets through the embedder and a throw-away store in `directory`."""

    def __init__(self, model: EmbeddingModel, embedder: Embedder, directory: Path):
        self._model, self._embedder = model, embedder
        self._shards = Shards(directory)
        self._embedded: dict[str, np.ndarray] = {}

    def run(self, labelled: LabelledSet, progress: Callable[[str], None]) -> Iterator[Trial]:
        """Every question against the whole set, and on- and off-topic ones against bases of a few topics."""
        progress(f"{labelled.name}: embedding {len(labelled.passages)} passages, {len(labelled.questions)} questions")
        self._embed([p.text for p in labelled.passages], self._passages)
        self._embed([q.text for q in labelled.questions], self._questions)
        topics = sorted({q.topic for q in labelled.questions})
        random.Random(0).shuffle(topics)
        yield from self._base(labelled, "whole", frozenset(topics))
        for size in TOPICS:
            for at in range(0, min(len(topics), 12 * size), size):
                yield from self._base(labelled, f"{size} topics", frozenset(topics[at : at + size]))

    def _base(self, labelled: LabelledSet, name: str, topics: frozenset[int]) -> Iterator[Trial]:
        client = uuid.uuid4()
        ids = {i: uuid.uuid4() for i, passage in enumerate(labelled.passages) if passage.topic in topics}
        points = [
            Point(id, 1, labelled.passages[i].text, self._embedded["p" + labelled.passages[i].text])
            for i, id in ids.items()
        ]
        self._shards.upsert(self._model.key, client, points)
        off = [q for q in labelled.questions if q.topic not in topics]
        sample = random.Random(len(topics)).sample(off, min(OFF_TOPIC, len(off)))
        for asked in [q for q in labelled.questions if q.topic in topics] + sample:
            vector = self._embedded["q" + asked.text]
            found = self._shards.search(self._model.key, client, vector, asked.text, CANDIDATES)
            right = frozenset(ids[i] for i in labelled.right(asked) if i in ids)
            yield Trial(f"{labelled.name}, {name}", asked.text, right, tuple(found), name == "whole")
        self._shards.delete(self._model.key, client, None)

    def _passages(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        return dict(zip(("p" + t for t in texts), self._embedder.embed_passages(texts)[0], strict=True))

    def _questions(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """As passages: for all our models a question is embedded as any text is, and batches are quicker."""
        vectors = self._embedder.embed_passages(texts)[0]
        return {"q" + text: windows[0] for text, windows in zip(texts, vectors, strict=True)}

    def _embed(self, texts: list[str], embed: Callable[[Sequence[str]], dict[str, np.ndarray]]) -> None:
        self._embedded |= embed(list(dict.fromkeys(texts)))
