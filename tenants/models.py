"""Clients, what their widget looks like, and their keys."""

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from tenants.origins import validate_domains
from tenants.scoping import ClientOwned

HEX_COLOUR = RegexValidator(r"^#[0-9a-fA-F]{6}$", "Write the colour as #rrggbb.")


class Client(models.Model):
    """A customer whose site carries the widget. Limits of None mean the tier's own (billing/plans.py)."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        DISABLED = "disabled"

    class Tier(models.TextChoices):
        FREE = "free"
        PAID = "paid"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    tier = models.CharField(max_length=10, choices=Tier.choices, default=Tier.FREE)
    created = models.DateTimeField(auto_now_add=True)

    allowed_domains = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_domains],
        help_text='Where the widget may run, for example ["example.com", "*.example.com"]. '
        "Empty: anywhere (paid tier).",
    )
    require_origin = models.BooleanField(
        default=False, help_text="Refuse requests that come from no browser (no Origin or Referer)."
    )

    hourly_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Included requests an hour; empty: the tier's."
    )
    hard_cap = models.BooleanField(
        default=False, help_text="Refuse requests over the hourly limit instead of billing overage."
    )
    overage_cents = models.PositiveIntegerField(
        default=10, help_text="Price of each started 100 requests over the limit."
    )
    alert_threshold = models.PositiveSmallIntegerField(
        default=80, validators=[MinValueValidator(1), MaxValueValidator(100)], help_text="Per cent of the hourly limit."
    )
    alert_email = models.EmailField(blank=True)

    model = models.CharField(max_length=100, blank=True, help_text="Answer with this model instead of the tier's.")
    instructions = models.TextField(blank=True, help_text="Added to the system prompt; can't override its rules.")
    no_answer_text = models.TextField(blank=True, help_text="What a visitor is told when the documents hold no answer.")

    knowledge_version = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="Grows with every change of what the documents say; part of the answer cache's key.",
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        validate_domains(self.allowed_domains)  # whoever saves: an unwanted domain opens the chat to others
        super().save(*args, **kwargs)

    @property
    def model_in_use(self) -> str:
        """The name of the model that answers: the client's own choice, else its tier's."""
        return self.model or (settings.FREE_MODEL if self.tier == self.Tier.FREE else settings.PAID_MODEL)


class WidgetConfig(ClientOwned):
    """How a client's widget looks; `options` holds what newer widgets understand beside the four old settings."""

    class Position(models.TextChoices):
        BOTTOM_RIGHT = "bottom-right"
        BOTTOM_LEFT = "bottom-left"

    primary_color = models.CharField(max_length=7, default="#3b82f6", validators=[HEX_COLOUR])
    position = models.CharField(max_length=20, choices=Position.choices, default=Position.BOTTOM_RIGHT)
    welcome_message = models.CharField(max_length=500, default="Hi! How can I help?")
    widget_name = models.CharField(max_length=100, default="Support")
    options = models.JSONField(default=dict, blank=True)

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client"], name="one_widget_config_per_client")]
        verbose_name = "widget"

    def __str__(self) -> str:
        return self.widget_name


class ApiKey(ClientOwned):
    """A key's digest and hint; the key itself is shown once and never stored (tenants/keys.py)."""

    class Kind(models.TextChoices):
        PUBLISHABLE = "publishable"
        SECRET = "secret"

    SCOPES = ("chat", "documents", "usage")  # what a secret key can be for

    kind = models.CharField(max_length=12, choices=Kind.choices)
    name = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=20, editable=False, help_text="First and last characters, to recognise it by.")
    scopes = models.JSONField(default=list, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True, blank=True, editable=False)
    expires = models.DateTimeField(null=True, blank=True)
    revoked = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-created",)
        verbose_name = "key"

    def __str__(self) -> str:
        return self.hint

    def clean(self) -> None:
        if not isinstance(self.scopes, list) or not set(self.scopes) <= set(self.SCOPES):
            raise ValidationError({"scopes": f"Write a list of scopes out of {', '.join(self.SCOPES)}."})
        if self.kind == self.Kind.SECRET and not self.scopes:
            raise ValidationError({"scopes": "A secret key is for one scope at least."})
        if self.kind == self.Kind.PUBLISHABLE and set(self.scopes) - {"chat"}:
            raise ValidationError({"scopes": "A publishable key is for chat only."})


class Erasure(models.Model):
    """The receipt of a client's deletion: how much there was of it, and that nothing is left. Holds no content."""

    id = models.UUIDField(primary_key=True, editable=False, help_text="The erased client's.")
    requested = models.DateTimeField(auto_now_add=True)
    due = models.DateTimeField(null=True, editable=False, help_text="When it is taken up again if it is not finished.")
    finished = models.DateTimeField(null=True, editable=False)
    before = models.JSONField(default=dict, editable=False)
    after = models.JSONField(default=dict, editable=False)
    kept = models.JSONField(default=dict, editable=False, help_text="Rows of the books, which outlive their client.")

    class Meta:
        ordering = ("-requested",)

    def __str__(self) -> str:
        return str(self.pk)

    def receipt(self) -> dict[str, Any]:
        """What `delete_client --json` prints."""
        return {
            "clientId": str(self.pk),
            "requested": self.requested.isoformat(),
            "finished": self.finished.isoformat() if self.finished else None,
            "before": self.before,
            "after": self.after,
            "kept": self.kept,
        }


class StaffMember(models.Model):
    """What a user of the admin may do there, and for which client only; tenants/staff.py says what each role may."""

    class Role(models.TextChoices):
        SUPPORT = "support", "Support: every client, no keys, no money"
        BILLING = "billing", "Billing: plans, limits, bills of every client"
        CLIENT = "client", "Client's own staff: one client only"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="staff_member")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.CLIENT)
    client = models.ForeignKey(
        Client,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="The only client this person sees; for a client's own staff, and for nobody else.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(role="client", client__isnull=False)
                | (~models.Q(role="client") & models.Q(client=None)),
                name="own_staff_have_a_client",
                violation_error_message="A client's own staff belong to one client; support and billing to none.",
            )
        ]

    def __str__(self) -> str:
        return self.get_role_display()


class AuditEvent(models.Model):
    """Something done, or seen across clients, in the admin; never changed or deleted. Holds no transcripts."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=150, help_text="The user name.")
    address = models.CharField(max_length=45, blank=True)
    action = models.CharField(max_length=30)
    client_id = models.UUIDField(null=True, db_index=True, help_text="The client it was about, if it was about one.")
    object = models.CharField(max_length=500, blank=True, help_text="A row's model and id, or the page.")
    name = models.CharField(max_length=200, blank=True, help_text="What the row was called then.")
    before = models.JSONField(default=dict, help_text="The changed values, as they were.")
    after = models.JSONField(default=dict, help_text="The changed values, as they became.")

    class Meta:
        ordering = ("-id",)
        indexes = [models.Index(fields=["action", "actor", "at"], name="audit_by_action_and_actor")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor}: {self.action} {self.name or self.object}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise RuntimeError("an audit event is never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise RuntimeError("an audit event is never deleted")
