"""Invoice lines on their way to a payment provider. None is required: events then stay pending.

At least once with an identifier that the provider knows again: an event is moved ahead in the queue before
each attempt, so a process that dies leaves it to be tried later, and a repeat charges nothing.
"""

import uuid
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from billing.models import BillingEvent, PaymentAccount
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
_told: set[str] = set()  # what the log says already of why nothing is accepted

# 1, 2, 4 ... minutes: about 17 hours in all, within the day for which a provider remembers an identifier.
ATTEMPTS = 10
NEXT_TRY = timedelta(minutes=30)  # of an event that could not be the reason
NO_ACCOUNT = "The client was erased and had no payment account: collect this invoice by hand."


class PaymentError(Exception):
    """The provider did not take the event. `transient`: trying again may help."""

    def __init__(self, message: str, *, transient: bool):
        super().__init__(message)
        self.transient = transient


class NotAccepted(PaymentError):
    """The provider takes nothing from us: the key is wrong, or may not do this. It is no event's fault."""

    def __init__(self, message: str):
        super().__init__(message, transient=True)


class PaymentProvider(Protocol):
    """What a payment provider must do."""

    def submit(self, event: BillingEvent, customer_id: str) -> None:
        """Charge (or, below zero, credit) the event's line to the customer, once for its identifier; PaymentError,
        and NotAccepted where the operator has to act first."""


def get_provider() -> PaymentProvider | None:
    """The provider that the settings name; None: no events leave."""
    if not settings.STRIPE_API_KEY:
        return None
    from billing.payments.stripe import Stripe

    return Stripe()


def deliver_due() -> int:
    """Submit every pending event that is due and whose client has a payment account; how many were processed.

    Where the provider accepts nothing from us, the run ends, the event waits and has lost no attempt.
    """
    provider, processed = get_provider(), 0
    while provider is not None and (claimed := _claim()) is not None:
        event, customer_id = claimed
        try:
            provider.submit(event, customer_id)
        except NotAccepted as error:
            _put_back(event, str(error))
            break
        except PaymentError as error:
            final = not error.transient or event.attempts + 1 >= ATTEMPTS
            _close(event, BillingEvent.State.FAILED if final else BillingEvent.State.PENDING, str(error))
            log.warning("a billing event was not taken", identifier=event.identifier, final=final)
        else:
            _close(event, BillingEvent.State.PROCESSED)
            _told.clear()
            processed += 1
    return processed


def refuse(identifier: str, reason: str) -> bool:
    """The provider reports afterwards that it could not use an event; False when there is none by that name.

    The event gets another name: asked under the old one again, the provider would repeat that it has accepted it, and
    charge nothing. So a report that comes twice finds nothing the second time, whatever was done about it meanwhile.
    """
    with unscoped("the provider names an event, not a client"):
        found = BillingEvent.objects.filter(identifier=identifier)
        values = {"state": BillingEvent.State.FAILED, "error": reason[:500]}
        return bool(found.update(identifier=_next_name(identifier), **values))


def close_last(client_id: uuid.UUID, left: datetime) -> None:
    """Leave no event of a client that is about to be erased waiting for what never comes; harmless when repeated.

    The client's payment account stays with its events, which are delivered after it is gone; without events it has
    no more use, and without an account they need a person.
    """
    with client_scope(client_id):
        if not BillingEvent.objects.exists():
            PaymentAccount.objects.all().delete()
        if not PaymentAccount.objects.exists():
            waiting = BillingEvent.objects.filter(state=BillingEvent.State.PENDING)
            waiting.update(state=BillingEvent.State.FAILED, error=NO_ACCOUNT)


def _next_name(identifier: str) -> str:
    """`2026-00001-2`, then `2026-00001-2.2`, `2026-00001-2.3`, ..."""
    line, _, number = identifier.partition(".")
    return f"{line}.{int(number) + 1 if number.isdecimal() else 2}"


def _claim() -> tuple[BillingEvent, str] | None:
    """The next due event, not due again before its back-off has passed, and its customer."""
    now = timezone.now()
    with unscoped("events of all clients are delivered by one job"):
        accounts = PaymentAccount.objects.filter(client=OuterRef("client"))
        due = BillingEvent.objects.filter(Exists(accounts), state=BillingEvent.State.PENDING, not_before__lte=now)
        skip = connection.features.has_select_for_update_skip_locked
        event = due.select_for_update(skip_locked=skip, of=("self",)).select_related("line__invoice").first()
        if event is None:
            return None
        BillingEvent.objects.filter(pk=event.pk).update(
            attempts=F("attempts") + 1, not_before=now + timedelta(minutes=2**event.attempts)
        )
        return event, PaymentAccount.objects.get(client_id=event.client_id).customer_id


def _put_back(event: BillingEvent, error: str) -> None:
    """The next run tries another event, so one that alone is not accepted holds up no others."""
    with client_scope(event.client_id):
        BillingEvent.objects.filter(pk=event.pk).update(
            attempts=event.attempts, not_before=timezone.now() + NEXT_TRY, error=error[:500]
        )
    if error not in _told:
        _told.add(error)
        log.error("the payment provider accepts nothing from us; all bills wait for the operator", error=error)


def _close(event: BillingEvent, state: str, error: str = "") -> None:
    with client_scope(event.client_id):
        BillingEvent.objects.filter(pk=event.pk).update(
            state=state, error=error[:500], processed=timezone.now() if state == BillingEvent.State.PROCESSED else None
        )
