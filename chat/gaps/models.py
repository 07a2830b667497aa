"""Gaps in a client's knowledge, and the questions that show them."""

from django.db import models

from tenants.scoping import ClientOwned


class Gap(ClientOwned):
    """Questions of one meaning that went unanswered, or whose answers were found unhelpful.

    It holds no visitor's words: those are its questions', and go with their messages.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        READING = "reading", "Answer is being read"  # its document is on its way; then the questions are asked again
        RESOLVED = "resolved", "Answered"
        DISMISSED = "dismissed", "Dismissed"

    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    note = models.CharField(max_length=300, blank=True, help_text="What happened last, for a person.")
    asked = models.PositiveIntegerField(default=0, help_text="How often, as of the last grouping.")
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    document = models.CharField(max_length=255, blank=True, help_text="The documentId of the answer that was written.")
    title = models.CharField(max_length=200, blank=True, help_text="The question as the answer's writer put it.")
    answer = models.TextField(blank=True)
    written_by = models.CharField(max_length=150, blank=True)
    written = models.DateTimeField(null=True, blank=True)
    held_until = models.DateTimeField(null=True, blank=True, help_text="Until then a process asks its questions again.")

    class Meta(ClientOwned.Meta):
        ordering = ("-asked", "-last_seen", "pk")
        indexes = [models.Index(fields=["client", "state", "-asked"], name="gaps_by_frequency")]
        verbose_name = "content gap"

    def __str__(self) -> str:
        return f"gap {self.pk}"


class GapQuestion(ClientOwned):
    """One visitor's question in its gap, with its vector, and what came of asking it again."""

    class Kind(models.TextChoices):
        REFUSED = "refused", "not answered"
        DOWN = "down", "thumbs-down"

    gap = models.ForeignKey(Gap, on_delete=models.CASCADE, related_name="questions")
    message = models.OneToOneField("chat.Message", on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    at = models.DateTimeField()
    vector = models.BinaryField(help_text="32-bit floats, of length 1.")
    model = models.CharField(max_length=200, help_text="The embedding model's key.")
    again = models.JSONField(default=dict, blank=True, help_text="What came of asking it once more.")
    asked_again = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-at", "-pk")

    def __str__(self) -> str:
        return f"question {self.pk}"
