"""Close a gap: an answer is written, becomes a document, and the questions are asked again."""

import uuid
from datetime import timedelta
from typing import Any

import structlog
from asgiref.sync import async_to_sync
from django.db.models import Q
from django.utils import timezone

from chat.gaps.models import Gap, GapQuestion
from chat.llms import LlmError, Turn
from chat.models import Message
from chat.workflow.log import history_before
from chat.workflow.preview import preview
from knowledge import documents
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
ASKED_AGAIN = 20  # of a gap's questions, the newest; more would cost more than they say
LONGEST_QUESTION, LONGEST_ANSWER = 200, 10_000  # characters
HOLD = timedelta(minutes=5)  # longer than any one answer may take
PATIENCE = timedelta(hours=1)  # then a gap whose document is still not read is open again
GONE = "Its document was erased, so it needs an answer again."


def write(client: Client, gap_id: int, question: str, answer: str, author: str) -> None:
    """Make the answer a document of the client, which is read like any other; its questions are asked again after.

    A second answer replaces the first. ApiError 400 for texts that are empty or too long, 402 when the plan is full,
    404 for no such gap.
    """
    question, answer = " ".join(question.split()), answer.strip()
    if not question or not answer:
        raise ApiError("INVALID_REQUEST", "Write the question and its answer.")
    if len(question) > LONGEST_QUESTION or len(answer) > LONGEST_ANSWER:
        raise ApiError(
            "INVALID_REQUEST",
            f"The question may have {LONGEST_QUESTION} characters, the answer {LONGEST_ANSWER:,}.",
        )
    with client_scope(client.pk):
        gap = find(gap_id)
        document_id = gap.document or f"answer-{uuid.uuid4()}"
        now = timezone.now()
        provenance = {"writtenBy": author, "writtenAt": now.isoformat(timespec="seconds"), "contentGap": gap.pk}
        text = f"{question}\n\n{answer}\n".encode()
        documents.submit(client, documents.Upload(document_id, text, "txt", _file_name(question), provenance))
        gap.document, gap.title, gap.answer, gap.written_by, gap.written = document_id, question, answer, author, now
        gap.state, gap.note, gap.held_until = Gap.State.READING, "", None
        gap.save(update_fields=["document", "title", "answer", "written_by", "written", "state", "note", "held_until"])
        gap.questions.update(again={}, asked_again=None)


def _file_name(question: str) -> str:
    """What visitors see as the source's title. Only a name that ends like a file's needs an ending of its own."""
    return question if "." not in question[-12:] else f"{question}.txt"


def find(gap_id: int) -> Gap:
    """A gap of the client in scope; ApiError 404."""
    gap = Gap.objects.filter(pk=gap_id).first()
    if gap is None:
        raise ApiError("NOT_FOUND", "There is no such gap.")
    return gap


def set_state(gap: Gap, state: str) -> None:
    """Dismiss, reopen or resolve by hand."""
    Gap.objects.filter(pk=gap.pk).update(state=state, note="")


def progress(gap: Gap) -> tuple[str, bool]:
    """How far a written answer has come, for a person, and whether its questions can be asked again now."""
    try:
        version = documents.find(gap.client_id, gap.document)
    except ApiError:
        return "Its document is gone", True
    if version.status in version.FINAL:
        return "Asking the questions again", gap.held_until is None
    return f"The answer is being read: {version.step}", False


def follow_up() -> None:
    """Ask the questions of every gap whose document is ready.

    May run twice or at once with itself: a gap is held by one process, and what was asked is not asked again.
    """
    with unscoped("answers to gaps of all clients are followed by one job"):
        reading = list(Gap.objects.filter(state=Gap.State.READING).values_list("client_id", "pk"))
    for client_id, gap_id in reading:
        try:
            _follow(client_id, gap_id)
        except Exception:
            log.exception("a gap was not followed up", client_id=str(client_id), gap=gap_id)  # the others' turn comes


def _follow(client_id: uuid.UUID, gap_id: int) -> None:
    with client_scope(client_id):
        gap = Gap.objects.filter(pk=gap_id, state=Gap.State.READING).first()
    if gap is None:
        return
    try:
        version = documents.find(client_id, gap.document)
    except ApiError:
        _end(gap, Gap.State.OPEN, GONE)
        return
    if version.status == version.Status.FAILED:
        _end(gap, Gap.State.OPEN, f"The answer could not be stored: {version.error_message or 'unknown reason'}")
    elif version.status == version.Status.COMPLETED:
        if _hold(gap):
            _ask_again(gap)
    elif gap.written and gap.written < timezone.now() - PATIENCE:
        _end(gap, Gap.State.OPEN, "The answer was not read within an hour. Are the workers running?")


def _hold(gap: Gap) -> bool:
    """Keep other processes from asking the same questions, until this one has or is dead."""
    with client_scope(gap.client_id):
        free = Q(held_until=None) | Q(held_until__lt=timezone.now())
        mine = Gap.objects.filter(free, pk=gap.pk, state=Gap.State.READING)
        return bool(mine.update(held_until=timezone.now() + HOLD))


def _ask_again(gap: Gap) -> None:
    """Ask the gap's newest questions as the visitors did, and note what they would be told now.

    Nothing of it is counted or billed, as with every preview; what the models cost is noted with each question.
    """
    client = Client.objects.get(pk=gap.client_id)
    with client_scope(client.pk):
        asked = list(gap.questions.filter(asked_again=None).select_related("message__session")[:ASKED_AGAIN])
        histories = [history_before(row.message) for row in asked]
    for row, history in zip(asked, histories, strict=True):
        found = _asked_again(client, row.message, history, gap.document)
        with client_scope(client.pk):
            GapQuestion.objects.filter(pk=row.pk).update(again=found, asked_again=timezone.now())
            Gap.objects.filter(pk=gap.pk).update(held_until=timezone.now() + HOLD)
    _conclude(gap)


def _asked_again(client: Client, message: Message, history: tuple[Turn, ...], document_id: str) -> dict[str, Any]:
    try:
        found = async_to_sync(preview)(client, message.text, history)
    except (ApiError, LlmError) as error:
        return {"error": str(error)}
    cited = [source for source in found.result.sources if source["documentId"] == document_id]
    return {
        "outcome": found.result.outcome,
        "answer": found.result.text,
        "cites": bool(cited),
        "excerpt": cited[0]["excerpt"] if cited else "",
        "cost": str(found.cost),
    }


def _conclude(gap: Gap) -> None:
    """Resolved when every question that was asked again is answered from the new document."""
    with client_scope(gap.client_id):
        rows = list(gap.questions.exclude(asked_again=None).values_list("again", flat=True))
    cited = sum(bool(again.get("cites")) for again in rows)
    if cited == len(rows):
        _end(gap, Gap.State.RESOLVED, "")
    else:
        _end(gap, Gap.State.OPEN, f"{cited} of {len(rows)} questions are answered from it. Say more, or resolve it.")


def _end(gap: Gap, state: str, note: str) -> None:
    """Unless another answer was written meanwhile, or somebody dismissed it."""
    with client_scope(gap.client_id):
        same = Q(pk=gap.pk, state=Gap.State.READING, written=gap.written)
        Gap.objects.filter(same).update(state=state, note=note[:300], held_until=None)
