"""Tell a client's people by e-mail that a visitor left an address."""

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from chat.models import Contact, SupportHours
from tenants import outbox
from tenants.scoping import client_scope

TEXT = """A visitor of your website would like to hear from you.

E-mail address: {email}
The conversation: {link}

Answer this message, and you write to the visitor.
"""


def send_due() -> int:
    """Send what is not sent; how many went out. Safe to run at once in several processes."""
    return outbox.send_due(lambda: Contact.objects.order_by("created"), _message)


def _message(contact: Contact) -> EmailMessage:
    with client_scope(contact.client_id):
        hours = SupportHours.objects.first()
    to = (hours.email if hours else "") or contact.client.alert_email
    link = settings.PUBLIC_URL + reverse("admin:chat_session_change", args=(contact.session_id,))
    subject = " ".join(f"{contact.client.name}: a visitor left an address".split())  # a name can hold no header
    text = TEXT.format(email=contact.email, link=link)
    return EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [to] if to else [], reply_to=[contact.email])
