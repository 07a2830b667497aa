"""E-mails that wait as rows. A row is claimed before it is sent, so that any number of processes may send at once.

The row is the truth: the mail may come twice, and is never left out while the mail server answers within ATTEMPTS.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from django.core.mail import EmailMessage
from django.db import connection
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from tenants.errors import cause_of
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
CLAIM = timedelta(minutes=10)  # a sender that says nothing for so long has died, and another may try
ATTEMPTS = 5


def send_due(rows: Callable[[], QuerySet[Any]], message: Callable[[Any], EmailMessage]) -> int:
    """Send what is not sent; how many went out. A message to nobody is not sent.

    `rows`: of a model with `client`, `claimed`, `attempts` and `sent`. `message`: of a row; no scope is open.
    """
    sent = 0
    while (row := _claim(rows)) is not None:
        try:
            gone = message(row).send()
        except OSError as error:  # the mail server's refusals are OSErrors too; the row is tried again
            client_id, name = str(row.client_id), f"{row._meta.label}:{row.pk}"
            log.warning("an e-mail could not be sent", client_id=client_id, row=name, error=cause_of(error))
            continue
        if gone:
            with client_scope(row.client_id):
                type(row)._default_manager.filter(pk=row.pk).update(sent=timezone.now())
            sent += 1
    return sent


def _claim(rows: Callable[[], QuerySet[Any]]) -> Any:
    """The next row to send, ours for CLAIM."""
    now = timezone.now()
    skip = connection.features.has_select_for_update_skip_locked
    with unscoped("e-mails about rows of all clients are sent by one loop"):
        due = rows().filter(Q(claimed=None) | Q(claimed__lt=now - CLAIM), sent=None, attempts__lt=ATTEMPTS)
        row = due.select_for_update(skip_locked=skip, of=("self",)).select_related("client").first()
        if row is not None:
            type(row)._default_manager.filter(pk=row.pk).update(claimed=now, attempts=F("attempts") + 1)
        return row
