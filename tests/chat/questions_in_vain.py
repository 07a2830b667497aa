"""Conversations with answers that did not help, written as the workflow writes them."""

import uuid
from datetime import datetime

from chat.models import Message, Session
from tenants.models import Client
from tenants.scoping import client_scope

ANSWERED, REFUSED = Message.Outcome.ANSWERED, Message.Outcome.REFUSED


def asked(
    client: Client,
    text: str,
    /,
    outcome: str = REFUSED,
    *,
    at: datetime | None = None,
    session: Session | None = None,
    **answer: object,
) -> Message:
    """A visitor's question and its answer; returns the answer."""
    with client_scope(client.pk):
        session = session or Session.objects.create(session_id=uuid.uuid4())
        turn = {"session": session, "trace_id": uuid.uuid4()}
        question = Message.objects.create(**turn, role="visitor", text=text)
        text_of = {REFUSED: "I'm sorry, I couldn't find an answer to that in our documents.", ANSWERED: "Yes."}
        values = {"text": text_of.get(outcome, ""), **answer}
        found = Message.objects.create(**turn, role="assistant", outcome=outcome, **values)
        if at is not None:
            Message.objects.filter(pk__in=[question.pk, found.pk]).update(created=at)
            Session.objects.filter(pk=session.pk).update(created=at, last_seen=at)
        return found
