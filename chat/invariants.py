"""What was said agrees with what is billed: an answer that counts is in the ledger exactly once."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, Sum
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
    """An answer that counts has a row in the ledger; a row without an answer has lost it to an erasure."""
    in_ledger = UsageRecord.objects.filter(DELIVERED).count()
    answered = 0
    for batch in _batches():
        traces = [str(trace) for trace, _ in batch]
        found = set(UsageRecord.objects.filter(DELIVERED, request_id__in=traces).values_list("request_id", flat=True))
        answered += len(found)
        for trace, billed in batch:
            if billed and str(trace) not in found:
                yield "answer-not-in-ledger", trace
    erased = SessionErasure.objects.aggregate(total=Sum("answers"))["total"] or 0
    if in_ledger - answered > erased:
        yield "ledger-row-without-answer", f"{in_ledger - answered - erased}-too-many"


def _batches() -> Iterator[list[tuple]]:
    """(trace id, is it billed?) of every answer."""
    answers = Message.objects.filter(role=Message.Role.ASSISTANT).order_by("pk")
    billed = Message.objects.filter(BILLED, pk=OuterRef("pk"))
    rows = answers.annotate(billed=Exists(billed)).values_list("trace_id", "billed").iterator(chunk_size=BATCH)
    while batch := list(islice(rows, BATCH)):
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
    """A question and its answer come and go together."""
    other = Message.objects.filter(trace_id=OuterRef("trace_id"), session=OuterRef("session")).exclude(
        role=OuterRef("role")
    )
    for trace in Message.objects.filter(~Exists(other)).order_by("pk").values_list("trace_id", flat=True):
        yield "half-a-turn", trace


ROWS: list[RowCheck] = [_ledger, _reservations, _open_answers, _turns]
OUTSIDE: list[OutsideCheck] = []
OVERALL: list[OverallCheck] = []
