"""Tell a client's people by e-mail that a visitor left an address. The row is the truth; the mail may come twice,
never not at all while the mail server answers within ATTEMPTS."""

from datetime import timedelta

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from chat.models import Contact, SupportHours
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
CLAIM = timedelta(minutes=10)  # a sender that says nothing for so long has died, and another may try
ATTEMPTS = 5
TEXT = """A visitor of your website would like to hear from you.

E-mail address: {email}
The conversation: {link}

Answer this message, and you write to the visitor.
"""


def send_due() -> int:
    """Send what is not sent; how many went out. Safe to run at once in several processes."""
    sent = 0
    while (contact := _claim()) is not None:
        message = _message(contact)
        if not message.to:
            continue  # nobody to tell; the desk lists it
        try:
            message.send()
        except OSError as error:  # the mail server's refusals are OSErrors too; the row is tried again
            log.warning(
                "people could not be told of an address", client_id=str(contact.client_id), error=type(error).__name__
            )
            continue
        with client_scope(contact.client_id):
            Contact.objects.filter(pk=contact.pk).update(sent=timezone.now())
        sent += 1
    return sent


def _claim() -> Contact | None:
    """The next address that somebody can be told of, ours for CLAIM."""
    now = timezone.now()
    with unscoped("addresses that visitors of all clients left are told by one loop"):
        rows = Contact.objects.filter(Q(claimed=None) | Q(claimed__lt=now - CLAIM), sent=None, attempts__lt=ATTEMPTS)
        lock = {"skip_locked": connection.features.has_select_for_update_skip_locked, "of": ("self",)}
        contact = rows.select_for_update(**lock).select_related("client").order_by("created").first()
        if contact is not None:
            Contact.objects.filter(pk=contact.pk).update(claimed=now, attempts=F("attempts") + 1)
        return contact


def _message(contact: Contact) -> EmailMessage:
    with client_scope(contact.client_id):
        hours = SupportHours.objects.first()
    to = (hours.email if hours else "") or contact.client.alert_email
    link = settings.PUBLIC_URL + reverse("admin:chat_session_change", args=(contact.session_id,))
    subject = " ".join(f"{contact.client.name}: a visitor left an address".split())  # a name can hold no header
    text = TEXT.format(email=contact.email, link=link)
    return EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [to] if to else [], reply_to=[contact.email])
