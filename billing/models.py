"""What may be used, what was used, and what was charged for it.

Money that clients pay is whole cents of `settings.CURRENCY`; model cost is dollars with eight decimals,
the unit of the providers' price lists. Neither is ever a float.
"""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from tenants.models import Client
from tenants.scoping import ClientOwned, ScopedManager, ScopedQuerySet


class Immutable(RuntimeError):
    """A row of the books was about to be changed; the books are corrected by new rows only."""


class BookQuerySet(ScopedQuerySet):
    """Many rows at once are no more changeable than one."""

    def update(self, **values: Any) -> int:
        raise Immutable(f"{self.model.__name__} is never changed")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise Immutable(f"{self.model.__name__} is never deleted")


class BookManager(ScopedManager):
    _queryset_class = BookQuerySet


class Book(ClientOwned):
    """A row that outlives its client (the law wants the books kept) and is never changed once written."""

    write_once = True

    client = models.ForeignKey(Client, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")

    objects = BookManager()  # type: ignore[misc]

    class Meta(ClientOwned.Meta):
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Immutable(f"{type(self).__name__} is never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise Immutable(f"{type(self).__name__} is never deleted")


class Plan(models.Model):
    """What a tier includes and costs from a moment on, until a later row of the same tier takes over.

    It begins tomorrow (UTC) at the earliest and stays as it is once in force: it decides what was billed, and limits
    of now. The product's first plans come from a migration, and what `loaddata` restores was in force before.
    """

    tier = models.CharField(max_length=10, choices=Client.Tier.choices)
    effective_from = models.DateTimeField(help_text="UTC. A change of price is a new row, so the past stays as it was.")
    requests_per_hour = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    overage = models.BooleanField(help_text="Over the hourly limit: bill overage rather than refuse.")
    documents = models.PositiveIntegerField()
    subscription_cents = models.PositiveIntegerField(default=0, help_text="For a whole month.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tier", "effective_from"], name="one_plan_per_tier_and_moment")]
        ordering = ("tier", "-effective_from")

    def __str__(self) -> str:
        return f"{self.tier} from {self.effective_from:%Y-%m-%d}"

    def clean(self) -> None:
        super().clean()
        self._refuse_the_past()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """ValidationError for a plan that would change what is past."""
        self._refuse_the_past()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """ValidationError for a plan in force."""
        self._refuse_when_in_force()
        return super().delete(*args, **kwargs)

    def _refuse_the_past(self) -> None:
        self._refuse_when_in_force()
        earliest = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        if self.effective_from is not None and self.effective_from < earliest:
            sentence = f"The earliest is {earliest:%d %B %Y, %H:%M} UTC: what was used before stays at its price."
            raise ValidationError({"effective_from": sentence})

    def _refuse_when_in_force(self) -> None:
        if not self._state.adding and Plan.objects.filter(pk=self.pk, effective_from__lte=timezone.now()).exists():
            raise ValidationError("This plan is in force, or was. What changes it is a new row with a later date.")


class Subscription(ClientOwned):
    """The tier a client was on, from when to when; `ends` is empty for the present one."""

    tier = models.CharField(max_length=10, choices=Client.Tier.choices)
    starts = models.DateTimeField()
    ends = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        constraints = [
            models.UniqueConstraint(fields=["client"], condition=models.Q(ends=None), name="one_present_subscription")
        ]
        ordering = ("starts",)

    def __str__(self) -> str:
        return f"{self.tier} from {self.starts:%Y-%m-%d}"


class HourCount(ClientOwned):
    """How many requests have a place in a client's clock hour, the exact gate behind the fast one, and how many of
    them are in the ledger as delivered, which is what is included or overage."""

    hour = models.DateTimeField()
    places = models.PositiveIntegerField(default=0)
    delivered = models.PositiveIntegerField(default=0)

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client", "hour"], name="one_count_per_hour")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}: {self.places}"


class Reservation(ClientOwned):
    """A request between its admission and its row in the ledger."""

    request_id = models.CharField(max_length=64)  # callers may choose it, so it is unique within the client
    at = models.DateTimeField(db_index=True, help_text="When it was admitted; decides its hour and month.")
    included = models.PositiveIntegerField(null=True, help_text="The hour's limit then; none where overage is refused.")
    hold = models.DecimalField(max_digits=14, decimal_places=8, default=0, help_text="Held of the month's budget.")

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client", "request_id"], name="one_reservation_per_request")]

    def __str__(self) -> str:
        return self.request_id


class UsageRecord(Book):
    """The ledger: a billable request, a failed one, or the embedding of a document; unique by client and
    `request_id` for ever.

    Token counts are whole tokens, `prompt_tokens` includes cache reads and writes; `prices` are dollars per
    million tokens at the time; `cost` is in dollars.
    """

    class Kind(models.TextChoices):
        CHAT = "chat"
        EMBEDDING = "embedding"

    request_id = models.CharField(max_length=64)  # callers may choose it, so it is unique within the client
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.CHAT)
    at = models.DateTimeField(db_index=True)
    model = models.CharField(max_length=100, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cache_read_tokens = models.PositiveIntegerField(default=0)
    cache_write_tokens = models.PositiveIntegerField(default=0)
    prices = models.JSONField(default=dict)
    cost = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    cached = models.BooleanField(default=False)
    exact = models.BooleanField(
        default=True, help_text="False where tokens were estimated (the provider sent no usage)."
    )
    overage = models.BooleanField(default=False)
    overage_cents = models.PositiveIntegerField(default=0, help_text="The client's price of 100 overage requests then.")
    failed = models.BooleanField(default=False, help_text="Counted as an error and never billed to the client.")
    latency_ms = models.PositiveIntegerField(null=True, blank=True)

    class Meta(Book.Meta):
        constraints = [models.UniqueConstraint(fields=["client", "request_id"], name="one_row_per_request")]
        indexes = [models.Index(fields=["client", "at"])]
        ordering = ("-at",)

    def __str__(self) -> str:
        return self.request_id


class UsageHour(ClientOwned):
    """One hour of the ledger in figures, rebuilt from it at any time (billing/usage.py)."""

    client = models.ForeignKey(Client, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    date = models.DateField()
    hour = models.PositiveSmallIntegerField(help_text="0 to 23, UTC.")
    rows = models.PositiveIntegerField(help_text="Rows of the ledger behind these figures; it only ever grows.")
    requests = models.PositiveIntegerField(default=0)
    overage = models.PositiveIntegerField(default=0)
    overage_cents = models.PositiveIntegerField(
        default=0, help_text="Amount: started hundreds times the client's price."
    )
    cached = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_tokens = models.PositiveBigIntegerField(default=0)
    embedding_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=16, decimal_places=8, default=0)
    p50_ms = models.PositiveIntegerField(null=True, blank=True)
    p95_ms = models.PositiveIntegerField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client", "date", "hour"], name="one_usage_row_per_hour")]
        indexes = [models.Index(fields=["date"], name="usage_by_day")]  # the desk adds up days of all clients
        ordering = ("-date", "-hour")

    def __str__(self) -> str:
        return f"{self.date} {self.hour:02}:00"

    @property
    def start(self) -> datetime:
        return datetime.combine(self.date, time(self.hour), tzinfo=UTC)


class Budget(ClientOwned):
    """The most that a client's answers may cost in models in a month, in dollars."""

    monthly = models.DecimalField(max_digits=12, decimal_places=2, validators=[MinValueValidator(0)])
    changed = models.DateTimeField(auto_now=True, db_default=Now())

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client"], name="one_budget_per_client")]

    def __str__(self) -> str:
        return f"${self.monthly} a month"


class MonthSpend(ClientOwned):
    """Model cost of a month of a client that has a budget: spent for certain, and held for requests under way."""

    month = models.DateField(help_text="Its first day.")
    spent = models.DecimalField(max_digits=16, decimal_places=8, default=0)
    held = models.DecimalField(max_digits=16, decimal_places=8, default=0)
    counted = models.DateTimeField(null=True, help_text="When it was last counted from the ledger (budgets.py).")

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client", "month"], name="one_spend_per_month")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}: ${self.spent}"


class Alert(ClientOwned):
    """An e-mail to a client, written when its cause occurs and sent soon after; one a cause and period."""

    class Kind(models.TextChoices):
        THRESHOLD = "threshold"
        LIMIT = "limit"
        MONTHLY = "monthly"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    period = models.DateTimeField(help_text="Start of the hour or month that it is about.")
    used = models.PositiveIntegerField()
    limit = models.PositiveIntegerField()
    amount_cents = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed = models.DateTimeField(null=True, blank=True)
    sent = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client", "kind", "period"], name="one_alert_per_cause")]
        ordering = ("-period",)

    def __str__(self) -> str:
        return f"{self.kind} {self.period:%Y-%m-%d %H:%M}"


class InvoiceNumber(models.Model):
    """The last number given out in a year; its row lock makes numbers gapless."""

    year = models.PositiveSmallIntegerField(primary_key=True)
    last = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.year}-{self.last:05}"


class Invoice(Book):
    """A month's invoice of a client, or a credit note against one. Never changed once written."""

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        CREDIT_NOTE = "credit_note"

    number = models.CharField(max_length=20, unique=True)
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.INVOICE)
    month = models.DateField(help_text="Its first day.")
    credits = models.ForeignKey("self", on_delete=models.DO_NOTHING, null=True, blank=True, related_name="credit_notes")
    client_name = models.CharField(max_length=200)
    currency = models.CharField(max_length=3)
    total_cents = models.BigIntegerField()
    reason = models.CharField(max_length=500, blank=True)
    issued = models.DateTimeField()

    class Meta(Book.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["client", "month"], condition=models.Q(kind="invoice"), name="one_invoice_per_month"
            )
        ]
        ordering = ("-month", "number")

    def __str__(self) -> str:
        return self.number


class InvoiceLine(Book):
    """One amount of an invoice; `hour` is set on overage, which is billed hour by hour."""

    class Kind(models.TextChoices):
        SUBSCRIPTION = "subscription"
        OVERAGE = "overage"
        CREDIT = "credit"

    invoice = models.ForeignKey(Invoice, on_delete=models.DO_NOTHING, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind.choices)
    description = models.CharField(max_length=300)
    hour = models.DateTimeField(null=True, blank=True)
    requests = models.PositiveIntegerField(default=0)
    quantity = models.PositiveIntegerField(default=1)
    amount_cents = models.BigIntegerField()

    class Meta(Book.Meta):
        constraints = [models.UniqueConstraint(fields=["invoice", "position"], name="one_line_per_position")]
        ordering = ("invoice", "position")

    def __str__(self) -> str:
        return self.description


class PaymentAccount(ClientOwned):
    """Where a payment provider knows a client: its own id of the customer. Outlives the client with its events."""

    client = models.ForeignKey(Client, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    customer_id = models.CharField(
        max_length=100,
        validators=[RegexValidator(r"^[A-Za-z0-9_-]+\Z", "An id of a customer has letters, digits, “_” and “-” only.")],
    )

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client"], name="one_payment_account_per_client")]

    def __str__(self) -> str:
        return self.customer_id


class BillingEvent(ClientOwned):
    """One invoice line on its way to the payment provider; `identifier` makes a repeat harmless there."""

    class State(models.TextChoices):
        PENDING = "pending"
        PROCESSED = "processed"
        FAILED = "failed"

    client = models.ForeignKey(Client, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    line = models.OneToOneField(InvoiceLine, on_delete=models.DO_NOTHING, related_name="event")
    identifier = models.CharField(max_length=100, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING, db_index=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(help_text="When it is tried next; moved ahead before each attempt.")
    error = models.CharField(max_length=500, blank=True)
    processed = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("not_before", "id")

    def __str__(self) -> str:
        return self.identifier
