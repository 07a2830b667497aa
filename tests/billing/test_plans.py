"""A price list is changed for the days to come, never for those gone by."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from billing import plans
from billing.models import Plan
from tests.config.desk import browser_of

TERMS: dict[str, Any] = {
    "tier": "paid", "requests_per_hour": 1, "overage": True, "documents": 5, "subscription_cents": 9900,
}  # fmt: skip


def midnight(days: int) -> datetime:
    """The beginning of the day, so many days from today (UTC)."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)


@pytest.mark.django_db
@pytest.mark.parametrize("began", [midnight(-60), midnight(0), midnight(1) - timedelta(microseconds=1)])
def test_no_plan_begins_before_tomorrow(began: datetime) -> None:
    before = list(Plan.objects.values())
    plan = Plan(effective_from=began, **TERMS)
    for attempt in (plan.full_clean, plan.save, lambda: Plan.objects.create(effective_from=began, **TERMS)):
        with pytest.raises(ValidationError, match=f"The earliest is {midnight(1):%d %B %Y}, 00:00 UTC"):
            attempt()
    assert list(Plan.objects.values()) == before
    assert plans.plan_at("paid").requests_per_hour == 1000


@pytest.mark.django_db
def test_a_plan_of_tomorrow_can_be_mended_until_it_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan.objects.create(effective_from=midnight(1), **TERMS)
    plan.subscription_cents = 4900
    plan.save()
    spare = Plan.objects.create(effective_from=midnight(2), **TERMS)
    spare.delete()
    monkeypatch.setattr(timezone, "now", lambda: midnight(1))
    plan.effective_from = midnight(3)  # neither its price nor its day
    for attempt in (plan.full_clean, plan.save, plan.delete):
        with pytest.raises(ValidationError, match="is in force"):
            attempt()
    assert Plan.objects.get(pk=plan.pk).effective_from == midnight(1)


@pytest.mark.django_db
def test_the_desk_says_from_when_on_a_price_can_change() -> None:
    desk, form = browser_of("root", is_superuser=True), {**TERMS, "effective_from_1": "00:00"}
    before = Plan.objects.count()
    refused = desk.post("/admin/billing/plan/add/", {**form, "effective_from_0": f"{midnight(-30):%Y-%m-%d}"})
    assert f"The earliest is {midnight(1):%d %B %Y}, 00:00 UTC" in refused.content.decode()
    assert desk.post("/admin/billing/plan/add/", {**form, "effective_from_0": f"{midnight(1):%Y-%m-%d}"}).url
    assert Plan.objects.filter(tier="paid", effective_from=midnight(1)).exists()
    assert Plan.objects.count() == before + 1
