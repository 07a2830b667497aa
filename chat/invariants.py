"""What was said agrees with what is billed: an answer that counts is in the ledger exactly once."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from django.conf import settings
from django.db.models import Exists, Min, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from billing.models import Reservation, UsageRecord
from billing.usage import DELIVERED
from chat.models import Message, SessionErasure
from tenants.invariants import Found, OutsideCheck, OverallCheck, RowCheck

BATCH = 1_000
MARGIN = timedelta(minutes=3)  # the sweeper waits two beyond the longest answer, and comes every ten seconds
Outcome = Message.Outcome
# As chat/workflow/state.py decides from a result, read from its row.
BILLED = Q(outcome__in=(Outcome.ANSWERED, Outcome.REFUSED, Outcome.GREETED)) | (
    ~Q(outcome=Outcome.RUNNING) & ~(Q(model="") & Q(text=""))
)


def _ledger() -> Found:
    """An answer that counts has a row in the ledger; a row without an answer has lost it to an erasure.

    Retention deletes from the oldest on, so what is younger than an answer that is still there was erased or never was.
    """
    answers = Message.objects.filter(role=Message.Role.ASSISTANT)
    oldest = answers.aggregate(oldest=Min("created"))["oldest"]
    if oldest is None:
        return
    ledger = UsageRecord.objects.filter(DELIVERED, at__gt=oldest)
    in_ledger, answered = ledger.count(), 0
    for batch in _batches(answers):
        traces = [str(trace) for trace, _ in batch]
        found = UsageRecord.objects.filter(DELIVERED, request_id__in=traces)
        known = dict(found.values_list("request_id", "at"))
        answered += sum(at > oldest for at in known.values())
        for trace, billed in batch:
            if billed and str(trace) not in known:
                yield "answer-not-in-ledger", trace
    erased = SessionErasure.objects.aggregate(total=Sum("answers"))["total"] or 0
    if in_ledger - answered > erased:
        yield "ledger-row-without-answer", f"{in_ledger - answered - erased}-too-many"


def _batches(answers: QuerySet[Message]) -> Iterator[list[tuple]]:
    """(trace id, is it billed?) of answers."""
    billed = Message.objects.filter(BILLED, pk=OuterRef("pk"))
    rows = answers.order_by("pk").annotate(billed=Exists(billed)).values_list("trace_id", "billed")
    iterator = rows.iterator(chunk_size=BATCH)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _reservations() -> Found:
    """A reservation belongs to an answer that is under way."""
    requests = list(Reservation.objects.order_by("pk").values_list("pk", "request_id"))
    running = {
        str(trace) for trace in Message.objects.filter(outcome=Outcome.RUNNING).values_list("trace_id", flat=True)
    }
    yield from (("reservation-of-ended-answer", pk) for pk, request in requests if request not in running)


def _open_answers() -> Found:
    """An answer ends, whatever became of its process."""
    longest = timedelta(seconds=settings.LLM_TOTAL_TIMEOUT) + MARGIN
    old = Message.objects.filter(outcome=Outcome.RUNNING, created__lt=timezone.now() - longest)
    for trace in old.order_by("pk").values_list("trace_id", flat=True):
        yield "answer-left-open", trace


def _turns() -> Found:
    """An answer has its question. (A question has none where a person answers instead of the model.)"""
    asked = Message.objects.filter(
        trace_id=OuterRef("trace_id"), session=OuterRef("session"), role=Message.Role.VISITOR
    )
    alone = Message.objects.filter(~Exists(asked), role=Message.Role.ASSISTANT).order_by("pk")
    for trace in alone.values_list("trace_id", flat=True):
        yield "answer-without-question", trace


ROWS: list[RowCheck] = [_ledger, _reservations, _open_answers, _turns]
OUTSIDE: list[OutsideCheck] = []
OVERALL: list[OverallCheck] = []
