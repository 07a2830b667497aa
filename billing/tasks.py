"""Jobs of the queue: envelopes around one verb each. Every one may run twice, or at once with itself."""

import uuid

import structlog

from billing import alerts, ledger, payments, usage
from billing.models import Reservation, UsageRecord
from tenants.jobs import job
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)


@job
def send_alerts() -> int:
    """Send the e-mails that are due; queued when an alert is written, and every few minutes for what was missed."""
    return alerts.send_due()


@job
def deliver_billing_events() -> int:
    """Hand due invoice lines to the payment provider, where one is configured."""
    return payments.deliver_due()


@job
def keep_books() -> int:
    """Settle what dead processes left open and bring the hourly figures up to the ledger; hours written."""
    with unscoped("the books of all clients are kept by one job"):
        last = usage.last_kept()  # it is as old as the last run
        records = UsageRecord.objects.filter(at__gte=last.start - 2 * usage.LATE) if last else UsageRecord.objects
        clients = set(records.values_list("client_id", flat=True).distinct())
        clients |= set(Reservation.objects.values_list("client_id", flat=True).distinct())
    return sum(map(_keep_books_of, clients))


def _keep_books_of(client_id: uuid.UUID) -> int:
    """One client's. What fails here is told and tried again at the next run, and holds up nobody else's."""
    try:
        with client_scope(client_id):
            abandoned, hours = ledger.release_abandoned(), usage.roll_up()
    except Exception:
        log.exception("books", client_id=str(client_id))
        return 0
    if abandoned:
        log.warning("requests that never ended were released", client_id=str(client_id), requests=abandoned)
    return hours
