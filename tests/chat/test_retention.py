"""Conversations go exactly when their client's rule says, by the client's calendar; the books stay."""

import io
import json
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from billing.models import UsageRecord
from chat.models import Contact, Gap, GapQuestion, Message, Retention, Session
from chat.retention import apply as retention
from tenants.models import AuditEvent, Client
from tenants.scoping import client_scope
from tests.chat.questions_in_vain import asked

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Auckland")
moments = st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def rule(client: Client, days: int | None, zone: str = "UTC") -> Retention:
    with client_scope(client.pk):
        return Retention.objects.create(conversation_days=days, time_zone=zone)


def texts(client: Client) -> list[str]:
    with client_scope(client.pk):
        return sorted(Message.objects.filter(role="visitor").values_list("text", flat=True))


@given(moments, moments, st.integers(1, 800), st.sampled_from(ZONES))
@example(datetime(2018, 11, 5, 2, tzinfo=UTC), datetime(2018, 11, 4, 3, tzinfo=UTC), 1, "America/Sao_Paulo")
@example(datetime(2018, 11, 5, 2, tzinfo=UTC), datetime(2018, 11, 4, 2, 59, 59, tzinfo=UTC), 1, "America/Sao_Paulo")
def test_kept_is_what_was_said_on_that_day_or_after(now: datetime, said: datetime, days: int, zone: str) -> None:
    """Also where midnight does not exist on that day (the examples: clocks went from 23:59 to 01:00)."""
    found = retention.first_kept(Retention(conversation_days=days, time_zone=zone), now)
    assert found is not None
    by_calendar = said.astimezone(ZoneInfo(zone)).date()
    assert (said >= found) == (now.astimezone(ZoneInfo(zone)).date() - by_calendar <= timedelta(days=days))


@pytest.mark.parametrize("zone", ZONES)
def test_the_day_s_first_and_last_moment(acme: Client, zone: str) -> None:
    rule(acme, 30, zone)
    today = NOW.astimezone(ZoneInfo(zone)).date()
    first = datetime.combine(today - timedelta(days=30), time.min, ZoneInfo(zone))
    asked(acme, "too old", at=first - timedelta(microseconds=1))
    asked(acme, "just kept", at=first)
    retention.apply(acme.pk, NOW)
    assert texts(acme) == ["just kept"]


def audit(client: Client) -> list[AuditEvent]:
    with client_scope(client.pk):
        return list(AuditEvent.objects.all())


def test_without_a_rule_everything_is_kept(acme: Client, stranger: Client) -> None:
    old = NOW - timedelta(days=3000)
    asked(acme, "no rule", at=old)
    asked(stranger, "a rule without days", at=old)
    rule(stranger, None)
    assert retention.apply_due(NOW) == 0
    assert (texts(acme), texts(stranger)) == (["no rule"], ["a rule without days"])


def test_what_goes_and_what_stays(acme: Client, stranger: Client) -> None:
    rule(acme, 30)
    rule(stranger, 365)
    old, new = NOW - timedelta(days=40), NOW - timedelta(days=2)
    gone = asked(acme, "old", at=old, rating="down", comment="my name is Ann")
    both = asked(acme, "old, but the visitor came back", at=old)
    asked(acme, "new", session=both.session, at=new)
    asked(stranger, "old, of another", at=old)
    with client_scope(acme.pk):
        gap = Gap.objects.create(first_seen=old, last_seen=old)
        question = Message.objects.get(trace_id=gone.trace_id, role="visitor")
        GapQuestion.objects.create(gap=gap, message=question, kind="down", at=old, vector=b"", model="m")
        UsageRecord.objects.create(request_id=str(gone.trace_id), at=old, cost="0.01")
    assert retention.apply_due(NOW) == 2
    assert (texts(acme), texts(stranger)) == (["new"], ["old, of another"])
    with client_scope(acme.pk):
        assert list(Session.objects.values_list("pk", flat=True)) == [both.session_id]
        assert (GapQuestion.objects.count(), UsageRecord.objects.count()) == (0, 1)
    [event] = audit(acme)
    assert (event.actor, event.action, event.client_id) == ("retention", "apply retention", acme.pk)
    assert event.after == {"chat.Message": 4, "chat.GapQuestion": 1, "chat.Session": 1}
    assert event.name == "conversations before 2026-10-24 00:00 UTC"


@pytest.mark.parametrize("zone", ZONES)
def test_an_address_that_a_visitor_left_goes_to_the_day(acme: Client, stranger: Client, zone: str) -> None:
    """Its conversation is as new as its last word; an address that nobody was told of yet is no exception."""
    rule(acme, 30, zone)
    first = datetime.combine(NOW.astimezone(ZoneInfo(zone)).date() - timedelta(days=30), time.min, ZoneInfo(zone))
    moments = {"gone@example.com": first - timedelta(microseconds=1), "kept@example.com": first}
    for client in (acme, stranger):
        talk = asked(client, "new", at=NOW)
        silent = asked(client, "old", at=first - timedelta(days=9)).session_id  # left an address long after
        with client_scope(client.pk):
            for email, at in moments.items():
                left = [Contact.objects.create(session_id=pk, email=email) for pk in (talk.session_id, silent)]
                Contact.objects.filter(pk__in=[row.pk for row in left]).update(created=at)
    counted = retention.would_delete(acme.pk, NOW)
    assert counted == retention.apply(acme.pk, NOW) == {"chat.Message": 2, "chat.Contact": 2}
    for client, emails in ((acme, ["kept@example.com"] * 2), (stranger, [*moments, *moments])):
        with client_scope(client.pk):
            assert sorted(Contact.objects.values_list("email", flat=True)) == sorted(emails)


def test_it_runs_once_a_day_of_each_client(acme: Client, stranger: Client) -> None:
    rule(acme, 30, "Pacific/Auckland")
    rule(stranger, 30, "America/New_York")
    assert retention.apply_due(NOW) == 2
    assert retention.apply_due(NOW) == 0
    assert retention.apply_due(datetime(2026, 11, 23, 5, 0, tzinfo=UTC)) == 1  # midnight in New York
    assert retention.apply_due(datetime(2026, 11, 23, 11, 0, tzinfo=UTC)) == 1  # midnight in Auckland


def test_a_killed_run_is_finished_by_the_next_and_every_row_is_in_the_audit(
    acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(acme, 30)
    for _ in range(5):
        asked(acme, "old", at=NOW - timedelta(days=40))
    monkeypatch.setattr(retention, "BATCH", 4)

    def killed(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retention.apply(acme.pk, NOW, killed)
    assert len(texts(acme)) == 3 and audit(acme) == []
    assert retention.apply_due(NOW) == 1
    assert (texts(acme), [event.after for event in audit(acme)]) == ([], [{"chat.Message": 10, "chat.Session": 5}])


def test_the_command_counts_first_and_deletes_then(acme: Client, stranger: Client) -> None:
    for client in (acme, stranger):
        rule(client, 30)
        asked(client, "old", at=timezone.now() - timedelta(days=40))
    assert run("--dry-run") == {"Acme Outdoor": {"chat.Message": 2, "chat.Session": 1}, "Strange Corp": {
        "chat.Message": 2, "chat.Session": 1}}  # fmt: skip
    assert run("--client", "Acme Outdoor") == {"Acme Outdoor": {"chat.Message": 2, "chat.Session": 1}}
    assert (texts(acme), texts(stranger)) == ([], ["old"])
    assert run("--client", str(acme.pk)) == {"Acme Outdoor": {}}


def run(*arguments: str) -> dict[str, dict[str, int]]:
    output = io.StringIO()
    call_command("apply_retention", "--json", *arguments, stdout=output)
    return {line["name"]: line["rows"] for line in map(json.loads, output.getvalue().splitlines())}


def test_a_rule_is_at_least_a_day_in_a_zone_that_exists() -> None:
    for wrong in (Retention(conversation_days=0), Retention(conversation_days=1, time_zone="Mars/Olympus")):
        with pytest.raises(ValidationError):
            wrong.clean_fields(exclude=["client"])
