"""The ledger: one append-only row for each thing that is paid for."""

from django.db import models

from tenants.scoping import ClientOwned


class UsageRecord(ClientOwned):
    """A billable request, or the embedding of a document; unique by `request_id` for ever.

    Token counts are whole tokens; prices are dollars per million tokens at the time; `cost` is in dollars.
    """

    class Kind(models.TextChoices):
        CHAT = "chat"
        EMBEDDING = "embedding"

    request_id = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.CHAT)
    at = models.DateTimeField(db_index=True)
    model = models.CharField(max_length=100)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cache_read_tokens = models.PositiveIntegerField(default=0)
    cache_write_tokens = models.PositiveIntegerField(default=0)
    prices = models.JSONField(default=dict)
    cost = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    cached = models.BooleanField(default=False)
    exact = models.BooleanField(default=True, help_text="False where tokens were estimated (the provider sent no usage).")
    overage = models.BooleanField(default=False)

    class Meta(ClientOwned.Meta):
        indexes = [models.Index(fields=["client", "at"])]
        ordering = ("-at",)

    def __str__(self) -> str:
        return self.request_id
