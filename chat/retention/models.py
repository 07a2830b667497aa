"""A client's rule, and how far it was applied."""

from zoneinfo import ZoneInfo

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from chat.people.hours import validate_time_zone
from tenants.scoping import ClientOwned

LONGEST_DAYS = 3650


class Retention(ClientOwned):
    """Days that a client's conversations are kept: the day that something was said on, and so many whole days after
    it, by the calendar of `time_zone`. None keeps them."""

    conversation_days = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(LONGEST_DAYS)]
    )
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    applied = models.DateField(null=True, blank=True, editable=False, help_text="The client's day of the last run.")
    deleted = models.JSONField(default=dict, editable=False, help_text="Counts that the audit doesn't have yet.")

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client"], name="one_retention_per_client")]

    def __str__(self) -> str:
        return f"{self.conversation_days} days" if self.conversation_days else "kept"

    @property
    def zone(self) -> ZoneInfo:
        """The client's, or UTC where the machine doesn't know it (any more)."""
        try:
            return ZoneInfo(self.time_zone)
        except (ValueError, KeyError, OSError):
            return ZoneInfo("UTC")
