"""What flows through the graph."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypedDict

from django.conf import settings

from billing.limits import Admission
from chat.llms import Patience, Turn, Usage
from chat.llms.registry import Model
from chat.models import Message
from chat.tape import Event
from knowledge.search import Passage
from tenants.errors import ApiError
from tenants.models import Client


@dataclass(frozen=True)
class Question:
    """An admitted question of a visitor, and all that its answer is recorded by."""

    client: Client
    session_id: uuid.UUID
    trace_id: uuid.UUID
    text: str
    at: datetime
    admission: Admission
    metadata: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    refused: ApiError | None = None  # the hour is full: only a repetition, or what is said to a person, is answered
    new_session: bool = False  # it begins with this question
    door: str = "rest"  # rest, sse or websocket: what the figures are kept by
    visitor: str = ""  # whose answers at once are limited; empty: only the client's


@dataclass(frozen=True)
class Reserved:
    """What the reservation read on its way: earlier turns of the session and the client's knowledge version."""

    history: tuple[Turn, ...]
    knowledge_version: int
    person: str = ""  # who has the conversation: no answer is made
    again: uuid.UUID | None = None  # the failed answer under the same idempotency key that this one takes the place of
    session_id: uuid.UUID | None = None  # of that one, which began a session if the question names none


@dataclass
class Result:
    """The answer as far as it has come; whatever ends it, this is what is stored and billed."""

    outcome: str = Message.Outcome.RUNNING
    pieces: list[str] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    model: Model | None = None
    usage: Usage | None = None  # None: no model was asked
    rewriting: Usage | None = None  # of the small call that made a follow-up stand alone
    cached: bool = False
    error_code: str = ""
    first_token_ms: int | None = None
    last_token_ms: int | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def billed(self) -> bool:
        """Every answer counts once, also one from the cache or cut short; a failure counts if it reached a model."""
        ended_badly = self.outcome in (Message.Outcome.FAILED, Message.Outcome.CANCELLED)
        asked = self.usage is not None or self.rewriting is not None
        return asked or bool(self.pieces) or not ended_badly


class Recorder(Protocol):
    """Where events go: a Tape."""

    task: asyncio.Task | None  # what may be stopped

    def append(self, *events: Event) -> None: ...

    def annotate(self, note: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Run:
    """One run's surroundings; nodes get it as the runtime's context. Pieces go straight to its tape."""

    question: Question
    reserved: Reserved
    tape: Recorder
    result: Result
    started: float  # time.monotonic()
    use_cache: bool = True
    ahead: "asyncio.Task[list[Passage]] | None" = None  # the search for the question as it stands, begun early

    @property
    def trace_id(self) -> uuid.UUID:
        return self.reserved.again or self.question.trace_id

    @property
    def patience(self) -> Patience:
        """With the model, from the beginning of the run. Who asked over REST has heard nothing until the end."""
        rest = self.question.door == "rest"
        seconds = settings.ANSWER_FIRST_TOKEN_TIMEOUT if rest else settings.LLM_FIRST_TOKEN_TIMEOUT
        return Patience.of(seconds, self.started)

    def charge_rewriting(self, usage: Usage) -> None:
        """Note what making the question stand alone has cost."""
        self.result.rewriting = usage

    def say(self, piece: str) -> None:
        """Append a piece of the answer to the tape, and to what will be stored."""
        if not piece:
            return
        now = int((time.monotonic() - self.started) * 1000)
        if self.result.first_token_ms is None:
            self.result.first_token_ms = now
        self.result.last_token_ms = now
        self.result.pieces.append(piece)
        self.tape.append(Event("chunk", piece))


class State(TypedDict, total=False):
    """What one node leaves for the next."""

    query: str  # the question, understandable without the session
    language: str  # of the question
    passages: list[Passage]
    ready: bool  # the answer needs no model: a greeting, a refusal, or one from the cache
    text: str  # of a ready answer
    cache_key: str  # empty: not for the cache (a follow-up's meaning hangs on its session)
