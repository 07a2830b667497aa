"""What the dashboard may ask and set, and the JSON of bills and figures."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from rest_framework import serializers

from billing.models import Invoice, InvoiceLine
from billing.plans import hourly_limit
from tenants.models import Client

# The longest period of one answer, so that it stays small: 800 hours, 400 days, 60 months.
LONGEST = {"hour": timedelta(hours=800), "day": timedelta(days=400), "month": timedelta(days=60 * 31)}


class MomentField(serializers.Field):
    """An ISO 8601 date or time; without an offset it is UTC. A bare date is its first moment."""

    def to_internal_value(self, data: object) -> datetime:
        text = str(data)
        try:
            # An unquoted "+00:00" in an address arrives as " 00:00".
            moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
            if 2000 <= moment.year < 2100:
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except ValueError:
            pass
        raise serializers.ValidationError("Write a date or time such as 2026-11-22 or 2026-11-22T10:00:00Z.")


class UsageQuerySerializer(serializers.Serializer):
    """`to` is not included; written as a bare date, that day is. Default: this month until now, by day."""

    granularity = serializers.ChoiceField(
        choices=list(LONGEST), default="day", error_messages={"invalid_choice": "Write hour, day or month."}
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), "from": MomentField(required=False), "to": MomentField(required=False)}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        until = attrs.get("to") or datetime.now(UTC)
        if len(str(self.initial_data.get("to", ""))) == len("2026-11-22"):
            until += timedelta(days=1)
        last = until - timedelta(microseconds=1)  # a month that ends there is that month, not the next
        since = attrs.get("from") or datetime.combine(last.date().replace(day=1), time(), UTC)
        if since >= until:
            raise serializers.ValidationError("“from” must be before “to”.")
        if until - since > LONGEST[attrs["granularity"]]:
            raise serializers.ValidationError("The period is too long for this granularity.")
        return {"since": since, "until": until, "granularity": attrs["granularity"]}


class LimitsSerializer(serializers.ModelSerializer):
    """What a client may set about its own limits; the rest is the operator's."""

    clientId = serializers.UUIDField(source="pk", read_only=True)
    hourlyLimit = serializers.SerializerMethodField()
    hardCap = serializers.BooleanField(source="hard_cap")
    overageCents = serializers.IntegerField(source="overage_cents", read_only=True)
    alertThreshold = serializers.IntegerField(source="alert_threshold", min_value=1, max_value=100)
    alertEmail = serializers.EmailField(source="alert_email", allow_blank=True, max_length=254)

    class Meta:
        model = Client
        fields = ("clientId", "hourlyLimit", "hardCap", "overageCents", "alertThreshold", "alertEmail")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Figures of ours that come back with a change are no matter; a name that means nothing is a mistake."""
        if unknown := sorted(set(self.initial_data) - set(self.fields)):
            raise serializers.ValidationError(dict.fromkeys(unknown, "There is no such limit."))
        return attrs

    def get_hourlyLimit(self, client: Client) -> int:
        return hourly_limit(client)


class InvoiceLineSerializer(serializers.ModelSerializer):
    amountCents = serializers.IntegerField(source="amount_cents")

    class Meta:
        model = InvoiceLine
        fields = ("kind", "description", "hour", "requests", "quantity", "amountCents")


class InvoiceSerializer(serializers.ModelSerializer):
    month = serializers.DateField(format="%Y-%m")
    credits: Any = serializers.SlugRelatedField(slug_field="number", read_only=True)
    totalCents = serializers.IntegerField(source="total_cents")
    lines = InvoiceLineSerializer(many=True)

    class Meta:
        model = Invoice
        fields = ("number", "kind", "month", "credits", "currency", "totalCents", "reason", "issued", "lines")


def without_costs(figures: dict[str, Any]) -> dict[str, Any]:
    """For a customer: what the models cost us is the operator's."""
    return {name: value for name, value in figures.items() if name != "cost"}


def figures_json(figures: dict[str, Any]) -> dict[str, Any]:
    """A bucket of usage (billing.usage.series) in camelCase; cost is a decimal in a string, in dollars."""
    return {_camel(name): _json_value(value) for name, value in figures.items()}


def bucket_json(bucket: dict[str, Any]) -> dict[str, Any]:
    return figures_json({**bucket, "start": bucket["start"].isoformat().replace("+00:00", "Z")})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _json_value(value: Any) -> Any:
    return value if value is None or isinstance(value, int | str) else f"{value:f}"
