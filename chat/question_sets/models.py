"""Sets of labelled questions, their runs, and what came of each question in a run."""

from django.core.exceptions import ValidationError
from django.db import models

from tenants.scoping import ClientOwned


class QuestionSet(ClientOwned):
    """Labelled questions that belong together."""

    name = models.CharField(max_length=100)
    created = models.DateTimeField(auto_now_add=True)

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client", "name"], name="question_set_name_unique_in_client")]
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class LabelledQuestion(ClientOwned):
    """A question with what a good answer rests on."""

    question_set = models.ForeignKey(QuestionSet, on_delete=models.CASCADE, related_name="questions")
    question = models.CharField(max_length=2000)
    expected = models.CharField(
        max_length=1000, blank=True, help_text="A document's id or title, or words that the right passage holds."
    )
    answerable = models.BooleanField(default=True, help_text="Off: the honest answer is “I don't know”.")

    class Meta(ClientOwned.Meta):
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.question[:80]

    def clean(self) -> None:
        if self.answerable and not self.expected.strip():
            raise ValidationError({"expected": "Say which document or words answer it, or mark it as not answerable."})


class EvaluationRun(ClientOwned):
    """One run of a set. It is worked off in slices by whoever holds the lease, so that it survives any process."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        STOPPED = "stopped", "Stopped"

    UNFINISHED = (State.WAITING, State.RUNNING)

    question_set = models.ForeignKey(QuestionSet, on_delete=models.CASCADE, related_name="runs")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    started_by = models.CharField(max_length=150)
    created = models.DateTimeField(auto_now_add=True)
    finished = models.DateTimeField(null=True, blank=True)
    held_until = models.DateTimeField(null=True, blank=True, help_text="Until then another process works on it.")
    holder = models.UUIDField(null=True, blank=True)
    total = models.PositiveIntegerField(default=0)
    knowledge_version = models.PositiveBigIntegerField(default=0)
    model = models.CharField(max_length=100, blank=True)
    figures = models.JSONField(default=dict, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-created", "-pk")
        indexes = [
            models.Index(fields=["created"], condition=models.Q(state__in=("waiting", "running")), name="open_runs")
        ]

    def __str__(self) -> str:
        return f"{self.created:%-d %b %Y, %H:%M}"


class RunResult(ClientOwned):
    """A question of a run, as it was when the run began, and what came of it."""

    run = models.ForeignKey(EvaluationRun, on_delete=models.CASCADE, related_name="results")
    position = models.PositiveIntegerField()
    question = models.CharField(max_length=2000)
    expected = models.CharField(max_length=1000, blank=True)
    answerable = models.BooleanField(default=True)
    asked = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, blank=True)
    answer = models.TextField(blank=True)
    error = models.CharField(max_length=300, blank=True)
    rank = models.PositiveIntegerField(null=True, blank=True)
    citations = models.JSONField(default=list, blank=True, help_text="Of each source: does it hold what was expected?")
    tokens = models.PositiveIntegerField(default=0)
    cost = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    seconds = models.FloatField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["run", "position"], name="result_position_unique_in_run")]
        ordering = ("position",)

    def __str__(self) -> str:
        return self.question[:80]

    @property
    def refused(self) -> bool:
        return self.outcome == "refused"

    @property
    def failed(self) -> bool:
        return bool(self.error)

    @property
    def good(self) -> bool:
        """Was the right thing done: refused, or answered from what was expected?"""
        return not self.failed and (any(self.citations) if self.answerable else self.refused)
