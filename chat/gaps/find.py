"""Find what was asked in vain, and put each question to those that mean the same."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import structlog
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.utils import timezone

from chat.gaps.grouping import Groups
from chat.models import Gap, GapQuestion, Message
from chat.understanding.followups import standalone
from chat.workflow.log import history_before
from knowledge.search import question_vectors
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
AT_ONCE = 100  # questions embedded before they are written
IN_VAIN = Q(outcome=Message.Outcome.REFUSED) | Q(rating="down")
REOPENED = "Asked in vain again after it was answered."


@dataclass(frozen=True)
class Asked:
    """A visitor's question; `text` can be understood without its conversation."""

    message_id: int
    text: str
    kind: str
    at: datetime


def group_all() -> int:
    """Group the new questions of every client; how many there were. A client whose index is away comes next time."""
    done = 0
    for client_id in _clients():
        try:
            done += group(client_id)
        except ApiError as error:
            log.warning("gaps were not grouped", client_id=str(client_id), reason=error.message)
    return done


def group(client_id: uuid.UUID) -> int:
    """Group a client's new questions and bring its gaps up to date; how many questions were new.

    May run twice or at once with itself: a question is in one group, and groups are written under the client's lock.
    ApiError VECTOR_SEARCH_ERROR when nothing can be embedded; what was grouped before stays.
    """
    with client_scope(client_id):
        since = _since()
        _forget(since)
    _renew(client_id)
    done = 0
    while new := _new_questions(client_id, since):
        model, vectors = async_to_sync(question_vectors)(client_id, [asked.text for asked in new])
        _write(client_id, model, new, vectors)
        done += len(new)
    with client_scope(client_id):
        _count()
    return done


def waiting(most: int = 1_000) -> int:
    """Questions in scope that are in no group yet, counted no further than `most`."""
    return _ungrouped(_oldest()).order_by()[:most].count()


def _clients() -> list[uuid.UUID]:
    """Who has new questions, or old ones that may have to go."""
    with unscoped("gaps of all clients are found by one job"):
        new = set(_ungrouped(_oldest()).order_by().values_list("client_id", flat=True).distinct())
        return sorted(new | set(Gap.objects.order_by().values_list("client_id", flat=True).distinct()))


def _oldest() -> datetime:
    return timezone.now() - timedelta(days=settings.GAP_DAYS)


def _since() -> datetime:
    """From when on the client's questions count: the last GAP_DAYS, and of those the newest GAP_QUESTIONS."""
    newest = _in_vain(_oldest()).values_list("created", flat=True)
    return next(iter(newest[settings.GAP_QUESTIONS - 1 : settings.GAP_QUESTIONS]), _oldest())


def _in_vain(since: datetime) -> QuerySet[Message]:
    """Answers in scope that did not help, newest first."""
    answers = Message.objects.filter(IN_VAIN, created__gte=since, role=Message.Role.ASSISTANT)
    return answers.order_by("-created", "-pk")


def _ungrouped(since: datetime) -> QuerySet[Message]:
    whose = OuterRef("client")  # the index of trace ids begins with it; without it each is sought in all messages
    asked = GapQuestion.objects.filter(client=whose, message__client=whose, message__trace_id=OuterRef("trace_id"))
    return _in_vain(since).exclude(Exists(asked))


def _forget(since: datetime) -> None:
    """Drop the questions that no longer count, because of their age or because the visitor has changed the rating."""
    GapQuestion.objects.filter(at__lt=since).delete()
    answers = Message.objects.filter(IN_VAIN, trace_id=OuterRef("message__trace_id"), role=Message.Role.ASSISTANT)
    GapQuestion.objects.exclude(Exists(answers)).delete()


def _new_questions(client_id: uuid.UUID, since: datetime) -> list[Asked]:
    """The next AT_ONCE, oldest first."""
    with client_scope(client_id):
        answers = {answer.trace_id: answer for answer in _ungrouped(since).reverse()[:AT_ONCE]}
        asked = Message.objects.filter(trace_id__in=list(answers), role=Message.Role.VISITOR).select_related("session")
        questions = {question.trace_id: question for question in asked}
        return [
            Asked(questions[trace].pk, _whole(questions[trace]), _kind(answer), answer.created)
            for trace, answer in answers.items()
            if trace in questions
        ]


def _kind(answer: Message) -> str:
    return GapQuestion.Kind.DOWN if answer.rating == "down" else GapQuestion.Kind.REFUSED


def _whole(question: Message) -> str:
    """The question as it can be understood alone."""
    return standalone(question.text, history_before(question))[0]


def _renew(client_id: uuid.UUID) -> None:
    """Embed again what an earlier model of the index has embedded: vectors of two models can't be compared."""
    model, _ = async_to_sync(question_vectors)(client_id, [])
    while True:
        with client_scope(client_id):
            stale = list(GapQuestion.objects.exclude(model=model).select_related("message__session")[:AT_ONCE])
            texts = [_whole(row.message) for row in stale]
        if not stale:
            return
        model, vectors = async_to_sync(question_vectors)(client_id, texts)
        for row, vector in zip(stale, vectors, strict=True):
            row.vector, row.model = _bytes(vector), model
        with client_scope(client_id):
            GapQuestion.objects.bulk_update(stale, ["vector", "model"])


def _write(client_id: uuid.UUID, model: str, new: Sequence[Asked], vectors: Sequence[np.ndarray]) -> None:
    with client_scope(client_id):
        Client.objects.select_for_update(no_key=True).get(pk=client_id)
        ids = [asked.message_id for asked in new]
        taken = set(GapQuestion.objects.filter(message__in=ids).values_list("message", flat=True))
        still_there = set(Message.objects.filter(pk__in=ids).values_list("pk", flat=True))  # or erased meanwhile
        groups, rows = _groups(model, len(vectors[0])), []
        for asked, vector in zip(new, vectors, strict=True):
            if asked.message_id in still_there - taken:
                gap = _gap_of(groups, asked, vector)
                row = GapQuestion(gap_id=gap, message_id=asked.message_id, kind=asked.kind, at=asked.at)
                row.vector, row.model = _bytes(vector), model
                rows.append(row)
        GapQuestion.objects.bulk_create(rows)
        _reopen(rows)


def _gap_of(groups: Groups, asked: Asked, vector: np.ndarray) -> Any:
    gap = groups.join(vector)
    if gap is None:
        gap = Gap.objects.create(first_seen=asked.at, last_seen=asked.at).pk
        groups.put(gap, [vector])
    return gap


def _groups(model: str, dimensions: int) -> Groups:
    """The groups that there are, from the vectors of their questions."""
    found: dict[int, list[np.ndarray]] = {}
    for gap, data in GapQuestion.objects.filter(model=model).order_by("gap", "pk").values_list("gap", "vector"):
        found.setdefault(gap, []).append(np.frombuffer(bytes(data), np.float32))
    groups = Groups(dimensions)
    for gap, vectors in found.items():
        groups.put(gap, vectors)
    return groups


def _reopen(rows: Sequence[GapQuestion]) -> None:
    """An answered question that comes in vain again needs a person again; a dismissed one does not."""
    newest: dict[int, datetime] = {}
    for row in rows:
        newest[row.gap_id] = max(row.at, newest.get(row.gap_id, row.at))
    answered = Gap.objects.filter(pk__in=newest, state=Gap.State.RESOLVED).values_list("pk", "written")
    again = [gap for gap, written in answered if written is None or newest[gap] > written]
    Gap.objects.filter(pk__in=again).update(state=Gap.State.OPEN, note=REOPENED)


def _count() -> None:
    """How often each gap in scope was asked, and when. One without questions goes, unless it has an answer."""
    counts = GapQuestion.objects.order_by().values("gap").annotate(n=Count("pk"), first=Min("at"), last=Max("at"))
    found = {row["gap"]: row for row in counts}
    changed = []
    for gap in Gap.objects.defer("answer"):
        row = found.get(gap.pk, {"n": 0, "first": gap.first_seen, "last": gap.last_seen})
        if (gap.asked, gap.first_seen, gap.last_seen) != (row["n"], row["first"], row["last"]):
            gap.asked, gap.first_seen, gap.last_seen = row["n"], row["first"], row["last"]
            changed.append(gap)
    Gap.objects.bulk_update(changed, ["asked", "first_seen", "last_seen"], batch_size=500)
    Gap.objects.filter(asked=0, document="").delete()


def _bytes(vector: np.ndarray) -> bytes:
    return np.asarray(vector, np.float32).tobytes()
