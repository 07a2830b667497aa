"""Conversations with questions asked in vain, for the browser tests; run beside the product by `manage.py shell`."""

from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from chat.models import Message, Session
from tenants.models import Client, StaffMember
from tenants.scoping import client_scope, unscoped
from tests.chat.questions_in_vain import ANSWERED, REFUSED, asked

IN_VAIN = (
    "Do you ship to Norway?",
    "Can I get my order delivered to Norway?",
    "is delivery to norway possible",
    "Can I pay with PayPal?",
    "do you take paypal",
    "Is there parking at the store in Oslo, and may I leave my camper van there overnight with two dogs in it?",
)
SOURCES = [{"documentId": "d", "title": "Warranty", "excerpt": "Boots go back within 60 days.", "page": 2}]


def fill(password: str) -> None:
    """Sue of the support staff, and what visitors of the demo client and of a second one asked."""
    sue = User.objects.create_user("sue", password=password, is_staff=True)
    with unscoped("the test hires"):
        StaffMember.objects.create(user=sue, role=StaffMember.Role.SUPPORT)
    demo = Client.objects.get()
    other = Client.objects.create(name="Strange Corp", tier="paid")
    now = timezone.now()
    asked(other, "Do you ship to Norway?", at=now - timedelta(days=1))
    for number, text in enumerate(IN_VAIN):
        asked(demo, text, REFUSED, at=now - timedelta(days=number, hours=number), model="extractive",
              prompt_tokens=612, completion_tokens=24, first_token_ms=210, last_token_ms=480)  # fmt: skip
    long = asked(demo, "How long do I have to return boots?", ANSWERED, text="Boots go back within 60 days. [1]",
                 sources=SOURCES, model="extractive", prompt_tokens=812, completion_tokens=40, first_token_ms=310,
                 last_token_ms=7_400)  # fmt: skip
    with client_scope(demo.pk):
        session = Session.objects.get(pk=long.session_id)
        Session.objects.filter(pk=session.pk).update(metadata={"pageUrl": "https://shop.example.com/boots"})
        Message.objects.filter(pk=long.pk).update(rating="down", comment="That was not my question.")
    asked(demo, "And for kids?", "failed", session=session, error_code="TIMEOUT", text="")
