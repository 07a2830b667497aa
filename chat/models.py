"""Visitors' sessions and what was said in them."""

import uuid
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import models

from chat.people.hours import times_of_day, validate_hours, validate_time_zone
from tenants.scoping import ClientOwned

SLOW_MS = 5_000  # from the question to the last word: what the desk lists as slow


class Session(ClientOwned):
    """A visitor's conversation; the visitor's id counts only together with the client."""

    session_id = models.UUIDField(default=uuid.uuid4)
    metadata = models.JSONField(default=dict, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    last_seen = models.DateTimeField(auto_now_add=True)

    # A person instead of the model (chat/people/).
    called = models.DateTimeField(null=True, blank=True, help_text="The visitor has asked for a person since then.")
    staff_user = models.CharField(max_length=150, blank=True, help_text="Who has taken the conversation over.")
    staff_name = models.CharField(max_length=100, blank=True, help_text="The name that the visitor sees.")
    staff_seen = models.DateTimeField(null=True, blank=True, help_text="The person's last sign of life.")

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client", "session_id"], name="session_unique_in_client")]
        indexes = [
            models.Index(fields=["last_seen"], name="sessions_by_last_seen"),
            models.Index(fields=["client", "last_seen"], name="sessions_of_client"),
            models.Index(fields=["staff_seen"], condition=~models.Q(staff_user=""), name="taken_over"),
            models.Index(fields=["called"], condition=models.Q(called__isnull=False), name="waiting_for_a_person"),
        ]
        ordering = ("-last_seen",)
        verbose_name = "conversation"

    def __str__(self) -> str:
        return str(self.session_id)


class Message(ClientOwned):
    """One turn. A visitor's question and its answer share `trace_id`; an answer's row is reserved before
    the model is called and completed when the stream ends, fails or is left. What a person writes, and what
    happens between people and the conversation, are turns of their own."""

    class Role(models.TextChoices):
        VISITOR = "visitor"
        ASSISTANT = "assistant"
        STAFF = "staff"  # a person instead of the model
        EVENT = "event"

    class Event(models.TextChoices):
        ASKED = "asked", "asked for a person"
        TAKEN = "taken", "took the conversation over"
        RETURNED = "returned", "handed the conversation back"
        LOST = "lost", "was gone; the conversation was handed back"
        ADDRESS = "address", "left an e-mail address"

    class Outcome(models.TextChoices):
        RUNNING = "running"
        ANSWERED = "answered"
        REFUSED = "refused"  # honestly: the documents hold no answer
        GREETED = "greeted"
        CANCELLED = "cancelled"  # the visitor left
        FAILED = "failed"

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="messages")
    trace_id = models.UUIDField()
    role = models.CharField(max_length=10, choices=Role.choices)
    text = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True, db_index=True)
    person = models.CharField(max_length=100, blank=True, help_text="Who wrote it or did it, or whom it was said to.")
    event = models.CharField(max_length=10, choices=Event.choices, blank=True)

    # of answers
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True)
    sources = models.JSONField(default=list, blank=True)
    model = models.CharField(max_length=100, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cached = models.BooleanField(default=False)
    error_code = models.CharField(max_length=30, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    last_token_ms = models.PositiveIntegerField(null=True, blank=True)
    rating = models.CharField(max_length=4, blank=True, choices=[("up", "up"), ("down", "down")])
    comment = models.TextField(blank=True)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)
    request_hash = models.CharField(max_length=64, blank=True)

    class Meta(ClientOwned.Meta):
        constraints = [
            models.UniqueConstraint(fields=["client", "trace_id", "role"], name="one_question_one_answer"),
            models.UniqueConstraint(fields=["client", "idempotency_key"], name="idempotency_key_unique_in_client"),
        ]
        indexes = [
            models.Index(fields=["created"], condition=models.Q(outcome="running"), name="open_answers"),
            # Few rows of many, so that gaps and the lists of what went wrong are found without reading the rest.
            models.Index(
                fields=["client", "created"],
                condition=models.Q(outcome="refused") | models.Q(rating="down"),
                name="unhelpful_answers",
            ),
            models.Index(
                fields=["client", "created"],
                condition=models.Q(outcome="failed") | models.Q(last_token_ms__gt=SLOW_MS),
                name="failed_or_slow_answers",
            ),
        ]
        ordering = ("created", "id")

    def __str__(self) -> str:
        return f"{self.role} {self.trace_id}"


class SessionErasure(ClientOwned):
    """The receipt of a visitor's erasure: how much there was, and that nothing is left. Holds no content."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(auto_now_add=True)
    answers = models.PositiveIntegerField(default=0, help_text="Rows of the ledger that have no answer any more.")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta(ClientOwned.Meta):
        ordering = ("-at",)

    def __str__(self) -> str:
        return str(self.pk)


class SupportHours(ClientOwned):
    """When a client's people answer in the chat, in their own time zone. Without this row the widget offers none."""

    DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

    time_zone = models.CharField(max_length=50, default="UTC", validators=[validate_time_zone])
    monday = models.CharField(max_length=100, blank=True, validators=[validate_hours])
    tuesday = models.CharField(max_length=100, blank=True, validators=[validate_hours])
    wednesday = models.CharField(max_length=100, blank=True, validators=[validate_hours])
    thursday = models.CharField(max_length=100, blank=True, validators=[validate_hours])
    friday = models.CharField(max_length=100, blank=True, validators=[validate_hours])
    saturday = models.CharField(max_length=100, blank=True, validators=[validate_hours])
    sunday = models.CharField(max_length=100, blank=True, validators=[validate_hours])
    email = models.EmailField(
        blank=True, help_text="Gets the addresses that visitors leave; empty: the client's address for alerts."
    )

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client"], name="one_support_hours_per_client")]
        verbose_name = verbose_name_plural = "support hours"

    def __str__(self) -> str:
        return f"hours in {self.time_zone}"

    def open_at(self, moment: datetime) -> bool:
        """Does somebody answer at this moment?"""
        try:
            local = moment.astimezone(ZoneInfo(self.time_zone))
            spans = times_of_day(getattr(self, self.DAYS[local.weekday()]))
        except (ValueError, KeyError, OSError):  # a row that no form has checked
            return False
        return any(start <= local.time() < end for start, end in spans)


class Contact(ClientOwned):
    """An e-mail address that a visitor left for people to write to. A job mails it to the client (people/mail.py)."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="contacts")
    email = models.EmailField()
    created = models.DateTimeField(auto_now_add=True, db_index=True)
    claimed = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent = models.DateTimeField(null=True, blank=True, help_text="When the client's people were told.")

    class Meta(ClientOwned.Meta):
        indexes = [models.Index(fields=["created"], condition=models.Q(sent=None), name="contacts_to_tell")]
        ordering = ("-created",)
        verbose_name, verbose_name_plural = "left address", "left addresses"

    def __str__(self) -> str:
        return f"contact {self.pk}"


from chat.gaps.models import Gap, GapQuestion  # noqa: E402
from chat.question_sets.models import EvaluationRun, LabelledQuestion, QuestionSet, RunResult  # noqa: E402
from chat.retention.models import Retention  # noqa: E402

__all__ = [
    "Contact",
    "EvaluationRun",
    "Gap",
    "GapQuestion",
    "LabelledQuestion",
    "Message",
    "QuestionSet",
    "Retention",
    "RunResult",
    "Session",
    "SessionErasure",
    "SupportHours",
]
