"""What Express is told of a document's progress: written with the change, delivered by a loop of its own.

`note` writes the body in the transaction of the change (an outbox), so nothing is told that did not happen and
nothing that happened is lost. `deliver` runs in one thread of the embedded web process and of each worker
process; several may run at once. Express being away never holds an ingestion up.
"""

import hmac
import json
import threading
import time
from datetime import timedelta
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db import close_old_connections
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet
from django.utils import timezone

from knowledge import metrics, status
from knowledge.models import Callback, DocumentVersion
from tenants import egress
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
PATH = "/api/internal/document-progress"
CALL_SECONDS = 10.0
CLAIM = timedelta(seconds=30)  # a sender that died in a call is taken for dead after it
LONGEST_PAUSE = timedelta(minutes=10)
GIVE_UP = timedelta(days=3)
POLL_SECONDS = 0.5
PROGRESS = timedelta(seconds=1)  # between two callbacks of progress, the contract's figure


def note(version: DocumentVersion, *, progress: bool = False) -> None:
    """Have Express told the state of `version`; inside the scope and transaction of the change.

    A change of status is sent at once. `progress` within one waits a second, so that it comes no sooner after what was
    sent before; if something newer is noted meanwhile, that replaces it.
    """
    if not settings.EXPRESS_CALLBACK_URL:
        return
    due = timezone.now() + (PROGRESS if progress else timedelta(0))
    last = Callback.objects.filter(document_id=version.document_id).order_by("-pk").first()
    if last and last.next_attempt and (last.status == version.status or last.next_attempt > last.created):
        replaced, _ = Callback.objects.filter(pk=last.pk, attempts=0).delete()  # not sent yet
        due = min(due, last.next_attempt) if replaced else due
    Callback.objects.create(
        document_id=version.document_id,
        status=version.status,
        body=json.dumps(status.body(version)),
        next_attempt=due,
    )


def deliver_forever(stop: threading.Event) -> None:
    """Deliver until `stop`; whatever goes wrong, the loop goes on."""
    while not stop.is_set():
        try:
            delivered = deliver_next()
        except Exception:
            log.exception("callbacks")
            delivered = False
        close_old_connections()
        if not delivered:
            stop.wait(POLL_SECONDS)


def deliver_next() -> bool:
    """Try the callback that has been due longest, each document's oldest first; False when none is due."""
    callback = _claim()
    if callback is None:
        return False
    error = _send(callback.body)
    metrics.CALLBACKS.labels("delivered" if error is None else "failed").inc()
    with client_scope(callback.client_id):
        row = Callback.objects.filter(pk=callback.pk)
        if error is None:
            row.delete()
            _space(callback)
        else:
            row.update(last_error=error[:200], next_attempt=_next_attempt(callback))
    return True


def deliver_again(rows: QuerySet[Callback]) -> int:
    """Have undelivered callbacks tried at once, for another three days; inside a scope. How many."""
    now = timezone.now()
    return rows.update(next_attempt=now, created=now, attempts=0)


def signature(body: str, at: int) -> str:
    """X-Signature of a body sent at `at` (Unix seconds)."""
    digest = hmac.digest(settings.INTERNAL_API_SECRET.encode(), f"{at}.{body}".encode(), "sha256")
    return f"t={at},v1={digest.hex()}"


def waiting() -> tuple[int, float]:
    """How many wait to be delivered, and for how many seconds the oldest has."""
    with unscoped("callbacks of all clients are sent by one loop"):
        found = Callback.objects.filter(next_attempt__isnull=False).aggregate(count=Count("pk"), oldest=Min("created"))
    age = (timezone.now() - found["oldest"]).total_seconds() if found["oldest"] else 0.0
    return found["count"], age


def _claim() -> Callback | None:
    """The next due callback, counted as tried; it is no one else's for CLAIM."""
    now = timezone.now()
    with unscoped("callbacks of all clients are sent by one loop"):
        earlier = Callback.objects.filter(
            document=OuterRef("document"), pk__lt=OuterRef("pk"), next_attempt__isnull=False
        )
        put_back = Q(next_attempt__gt=now + LONGEST_PAUSE + CLAIM)  # the clock was: nothing is put off for so long
        due = Callback.objects.filter(~Exists(earlier), Q(next_attempt__lte=now) | put_back)
        callback = due.order_by("next_attempt", "pk").first()
        if callback is None:
            return None
        mine = Callback.objects.filter(pk=callback.pk, next_attempt=callback.next_attempt)
        callback.attempts += 1
        return callback if mine.update(next_attempt=now + CLAIM, attempts=callback.attempts) else None


def _space(sent: Callback) -> None:
    """Progress that was noted while a callback was on its way comes no sooner after it than a second."""
    soonest = timezone.now() + PROGRESS
    later = Callback.objects.filter(document_id=sent.document_id, pk__gt=sent.pk).order_by("pk").first()
    if later and later.status == sent.status and later.next_attempt and later.next_attempt < soonest:
        Callback.objects.filter(pk=later.pk, attempts=0).update(next_attempt=soonest)


def _send(body: str) -> str | None:
    """POST it; what went wrong, or None after a 2xx."""
    headers = {
        "Content-Type": "application/json",
        "X-Internal-Secret": settings.INTERNAL_API_SECRET,
        "X-Signature": signature(body, int(time.time())),
    }
    try:
        answer = egress.post(_address(), body.encode(), headers, timeout=CALL_SECONDS)
    except egress.EgressError as error:
        return str(error)
    return None if 200 <= answer < 300 else f"answered {answer}"


def _address() -> str:
    """EXPRESS_CALLBACK_URL; a bare origin gets the contract's path."""
    url = settings.EXPRESS_CALLBACK_URL
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + PATH


def _next_attempt(callback: Callback) -> object:
    """After 1, 2, 4… seconds, at most LONGEST_PAUSE; None gives up."""
    now = timezone.now()
    if now - callback.created >= GIVE_UP:
        metrics.CALLBACKS.labels("given_up").inc()
        log.error("a callback could not be delivered", callback=callback.pk)
        return None
    return now + min(timedelta(seconds=2 ** min(callback.attempts - 1, 20)), LONGEST_PAUSE)
