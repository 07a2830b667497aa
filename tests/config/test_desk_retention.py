"""The rule for a client's conversations is set on the client's page, and noted."""

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from chat.models import Retention
from chat.retention.apply import apply_due
from tenants.models import Client, StaffMember
from tenants.scoping import client_scope
from tests.config.desk import audited, browser_of


@pytest.fixture
def own(acme: Client) -> Browser:
    return browser_of("own", StaffMember.Role.CLIENT, acme)


def rules(client: Client) -> list[tuple[int | None, str]]:
    with client_scope(client.pk):
        return list(Retention.objects.values_list("conversation_days", "time_zone"))


def test_it_is_set_and_taken_back_and_nothing_goes_before_midnight(acme: Client, own: Browser) -> None:
    url = reverse("admin:client_retention", args=(acme.pk,))
    page = f"/admin/tenants/client/{acme.pk}/change/"
    assert "Conversations are kept for good." in own.get(page).content.decode()
    assert own.post(url, {"days": "30", "time_zone": "Europe/Berlin"})["Location"] == f"{page}#retention"
    assert rules(acme) == [(30, "Europe/Berlin")] and apply_due() == 0
    assert "30 days</b>" in own.get(page).content.decode()
    own.post(url, {"days": "", "time_zone": "Europe/Berlin"})
    assert rules(acme) == [(None, "Europe/Berlin")]
    assert [(event.actor, event.action, event.before, event.after) for event in audited()] == [
        ("own", "change retention", {"conversation_days": None, "time_zone": "UTC"},
         {"conversation_days": 30, "time_zone": "Europe/Berlin"}),
        ("own", "change retention", {"conversation_days": 30}, {"conversation_days": None}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"days": "soon"}, "Write the days as a whole number"),
        ({"days": "0"}, "Days: Ensure this value is greater than or equal to 1."),
        ({"days": "99999"}, "Days: Ensure this value is less than or equal to 3650."),
        ({"days": "5", "time_zone": "X"}, "Time zone: Write a time zone's name"),
    ],
)
def test_nonsense_changes_nothing(acme: Client, own: Browser, form: dict[str, str], said: str) -> None:
    answer = own.post(reverse("admin:client_retention", args=(acme.pk,)), {"time_zone": "UTC", **form}, follow=True)
    assert [str(message)[: len(said)] for message in answer.context["messages"]] == [said]
    assert rules(acme) == []


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Los_Angeles", "UTC"])
def test_the_page_tells_the_day_of_the_rules_own_calendar(acme: Client, own: Browser, zone: str) -> None:
    with client_scope(acme.pk):
        rule = Retention.objects.create(client=acme, conversation_days=30, time_zone=zone)
    shown = own.get(f"/admin/tenants/client/{acme.pk}/change/").content.decode()
    kept = timezone.now().astimezone(rule.zone).date() - timedelta(days=30)
    assert f"now those since {kept:%-d %b %Y}." in shown


def test_only_for_those_who_may(acme: Client, stranger: Client) -> None:
    url = reverse("admin:client_retention", args=(acme.pk,))
    other, biller = browser_of("o", "client", stranger), browser_of("b", "billing")
    assert (other.post(url, {"days": "1"}).status_code, biller.post(url, {"days": "1"}).status_code) == (404, 403)
    assert "#retention" not in biller.get(f"/admin/tenants/client/{acme.pk}/change/").content.decode()
    assert rules(acme) == []
