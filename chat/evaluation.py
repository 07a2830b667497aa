"""How good are a client's answers? A labelled set of questions, asked one after the other, and what came of it.

The set is a CSV with the columns `question`, `expected` (a document's id or title, or words that its passage
holds) and `answerable` (yes or no; yes where it is left out).
"""

import csv
import io
import itertools
import statistics
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from chat.llms import LlmError
from chat.models import Message
from chat.workflow.preview import Preview, preview
from knowledge import documents
from tenants.errors import ApiError
from tenants.models import Client

YES = {"", "yes", "y", "true", "1", "ja", "j", "oui", "sí", "si", "sim"}
NO = {"no", "n", "false", "0", "nein", "non", "não"}
DEPTHS = (1, 3, 5)


@dataclass(frozen=True)
class Case:
    """One labelled question."""

    question: str
    expected: str
    answerable: bool


class Measured(Protocol):
    """What the figures are made of: an Outcome, or its stored row (chat/question_sets/models.py)."""

    @property
    def answerable(self) -> bool: ...
    @property
    def rank(self) -> int | None: ...
    @property
    def citations(self) -> list[bool]: ...
    @property
    def refused(self) -> bool: ...
    @property
    def failed(self) -> bool: ...
    @property
    def cost(self) -> Decimal: ...
    @property
    def seconds(self) -> float | None: ...


@dataclass(frozen=True)
class Outcome:
    """What came of a case; `preview` is None where there was no answer at all, with `error` saying why."""

    case: Case
    preview: Preview | None
    error: str = ""

    @property
    def rank(self) -> int | None:
        """The place of the first passage that holds what was expected, from 1."""
        passages = self.preview.passages if self.preview else []
        found = (n for n, p in enumerate(passages, 1) if _meets(self.case, (p.document_id, p.title), p.text))
        return next(found, None)

    @property
    def answerable(self) -> bool:
        return self.case.answerable

    @property
    def failed(self) -> bool:
        return self.preview is None

    @property
    def cost(self) -> Decimal:
        return self.preview.cost if self.preview else Decimal(0)

    @property
    def seconds(self) -> float | None:
        return self.preview.seconds if self.preview else None

    @property
    def refused(self) -> bool:
        return self.preview is not None and self.preview.result.outcome == Message.Outcome.REFUSED

    @property
    def citations(self) -> list[bool]:
        """For each source of the answer: does it hold what was expected?"""
        if self.preview is None:
            return []
        sources = self.preview.result.sources
        texts = {(p.document_id, p.index): p.text for p in self.preview.passages}
        return [
            _meets(
                self.case, (s["documentId"], s["title"]), texts.get((s["documentId"], s["chunkIndex"]), s["excerpt"])
            )
            for s in sources
        ]


COLUMNS = ("question", "expected", "answerable")


def write_cases(cases: Iterable[Case]) -> str:
    """The CSV that `read_cases` reads."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((case.question, case.expected, "yes" if case.answerable else "no") for case in cases)
    return lines.getvalue()


def read_cases(lines: Iterable[str]) -> list[Case]:
    """The cases of a CSV with commas, semicolons or tabs; ValueError names what is wrong and where."""
    lines = iter(lines)
    header = next(lines, "")
    rows = csv.DictReader(itertools.chain([header], lines), delimiter=max(",;\t", key=header.count))
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    if "question" not in rows.fieldnames:
        raise ValueError("The first line must name the columns: question, expected, answerable.")
    try:
        cases = [_case(row, rows.line_num) for row in rows]
    except csv.Error as error:
        raise ValueError(f"Line {rows.line_num + 1} can't be read: {error}.") from error
    if not cases:
        raise ValueError("The file holds no questions.")
    return cases


def _case(row: dict[Any, Any], line: int) -> Case:
    if None in row:
        raise ValueError(f"Line {line} has more cells than the first one: a text with commas needs quotes around it.")
    question, expected, answerable = ((row.get(column) or "").strip() for column in COLUMNS)
    if not question:
        raise ValueError(f"Line {line} has no question.")
    if answerable.lower() not in YES | NO:
        raise ValueError(f"Line {line}: answerable is yes or no, not “{answerable}”.")
    if answerable.lower() in YES and not expected:
        raise ValueError(f"Line {line} doesn't say which document or words are expected.")
    return Case(question, expected, answerable.lower() in YES)


def unheard_of(client: Client, cases: Iterable[Case]) -> list[str]:
    """What cases expect and no document of the client is called or says, so that no answer could ever meet it."""
    contents = documents.contents(client.pk)
    known = {_plain(name) for id, title, _ in contents for name in (id, title)}
    texts = [_plain(text) for _, _, text in contents]
    expected = dict.fromkeys(case.expected for case in cases if case.answerable)
    return [
        words for words in expected if _plain(words) not in known and not any(_plain(words) in text for text in texts)
    ]


async def run(client: Client, cases: Sequence[Case]) -> AsyncIterator[Outcome]:
    """Ask every case, in order."""
    for case in cases:
        yield await ask(client, case)


async def ask(client: Client, case: Case) -> Outcome:
    """Ask one case, as a preview: nothing is counted or billed."""
    try:
        return Outcome(case, await preview(client, case.question))
    except (ApiError, LlmError) as error:
        return Outcome(case, None, str(error))


def figures(outcomes: Sequence[Measured]) -> dict[str, Any]:
    """Recall and MRR of retrieval, precision and recall of citations and refusals, cost in dollars, latency in
    seconds. A share of nothing is None."""
    answerable = [o for o in outcomes if o.answerable]
    ranks = [o.rank for o in answerable]
    cited = [good for o in answerable for good in o.citations]
    refused = [o for o in outcomes if o.refused]
    seconds = sorted(o.seconds for o in outcomes if o.seconds is not None)
    return {
        "questions": len(outcomes),
        "errors": sum(o.failed for o in outcomes),
        **{f"recall@{k}": _share([rank is not None and rank <= k for rank in ranks]) for k in DEPTHS},
        "mrr": round(statistics.fmean(1 / rank if rank else 0 for rank in ranks), 4) if ranks else None,
        "citation_precision": _share(cited),
        "citation_recall": _share([any(o.citations) for o in answerable]),
        "refusal_precision": _share([not o.answerable for o in refused]),
        "refusal_recall": _share([o.refused for o in outcomes if not o.answerable]),
        "cost": str(sum((o.cost for o in outcomes), start=Decimal(0))) if seconds else "0",
        "latency_p50": round(statistics.median(seconds), 3) if seconds else None,
        "latency_p95": round(seconds[int(0.95 * (len(seconds) - 1))], 3) if seconds else None,
    }


def _meets(case: Case, names: tuple[str, str], text: str) -> bool:
    wanted = _plain(case.expected)
    return bool(wanted) and (wanted in map(_plain, names) or wanted in _plain(text))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _share(values: list[bool]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
