"""An answer for the people who run the product: the same nodes, but no row is written, nothing is billed or cached."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils import timezone

from billing.ledger import cost_of
from billing.limits import Admission
from chat.llms import Turn, Usage
from chat.tape import Event
from chat.workflow.generate import generate
from chat.workflow.log import total_usage
from chat.workflow.retrieve import retrieve
from chat.workflow.state import Question, Reserved, Result, Run
from chat.workflow.understand import understand
from knowledge.search import Passage
from tenants.models import Client


@dataclass(frozen=True)
class Preview:
    """What a visitor would have been told, and what it was made from."""

    result: Result
    passages: list[Passage]
    usage: Usage
    cost: Decimal  # dollars
    seconds: float


class Unheard:
    """A tape that nobody follows."""

    def __init__(self) -> None:
        self.task: asyncio.Task | None = None

    def append(self, *events: Event) -> None:
        """The result holds the text already."""

    def annotate(self, note: dict[str, Any]) -> None:
        """Nothing is billed."""


async def preview(client: Client, question: str, history: Sequence[Turn] = ()) -> Preview:
    """Answer `question` as the client's widget would; raises ApiError or LlmError as the workflow does."""
    started = time.monotonic()
    asked = _question(client, question)
    run = Run(
        asked,
        Reserved(tuple(history), client.knowledge_version),
        Unheard(),
        Result(),
        started,
        use_cache=False,
    )
    from langgraph.runtime import Runtime  # takes a second to import, which no other command should wait for

    runtime, state = Runtime(context=run), await understand(run)
    if not state.get("ready"):
        state |= await retrieve(state, runtime)
    await generate(state, runtime)
    usage = total_usage(run.result)
    cost = cost_of(usage, run.result.model.prices.as_json()) if run.result.model else Decimal(0)
    return Preview(run.result, state.get("passages", []), usage, cost, time.monotonic() - started)


def _question(client: Client, text: str) -> Question:
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    uncounted = Admission(limit=0, remaining=0, reset=0, overage=False, hour=hour, at=now)
    return Question(client, uuid.uuid4(), uuid.uuid4(), text, now, uncounted)
