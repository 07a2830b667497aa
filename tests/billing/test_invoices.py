"""A bill is the sum of the ledger, whatever the month, the time zone, the plan changes and the refunds."""

import uuid
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from io import StringIO

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import invoices, ledger, plans, subscriptions, usage
from billing.ledger import Tokens
from billing.limits import admit
from billing.models import BillingEvent, Immutable, Invoice, Plan, Subscription, UsageRecord
from billing.money import money
from tenants.models import Client
from tenants.scoping import client_scope, unscoped

MONTHS = [date(2024, 2, 1), date(2025, 2, 1), date(2026, 3, 1), date(2026, 10, 1), date(2025, 12, 1)]
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def moments(month: date) -> st.SearchStrategy[datetime]:
    """Around the month, its borders included, written in any time zone."""
    start, end = usage.month_bounds(month)
    naive = [moment.replace(tzinfo=None) for moment in (start - timedelta(days=2), end + timedelta(days=2))]
    inside = st.datetimes(*naive)
    borders = st.sampled_from([start, end - timedelta(microseconds=1), end, start - timedelta(microseconds=1)])
    moment = st.one_of(inside.map(lambda at: at.replace(tzinfo=UTC)), borders)
    return st.builds(lambda at, zone: at.astimezone(zone), moment, zones)


bursts = st.sampled_from(MONTHS).flatmap(
    lambda month: st.tuples(
        st.just(month),
        st.lists(
            st.tuples(moments(month), st.sampled_from([1, 99, 100, 101, 250]), st.sampled_from([0, 10, 25])),
            max_size=8,
            unique_by=lambda burst: burst[0].astimezone(UTC).replace(minute=0, second=0, microsecond=0),
        ),
    )
)


def write_overage(client: Client, at: datetime, requests: int, cents: int) -> None:
    """`requests` over the limit in one hour, and as many within it, failed, or of another kind."""
    row = {"client_id": client.pk, "at": at, "model": "m"}
    rows = [
        *({"overage": True, "overage_cents": cents} for _ in range(requests)),
        *({} for _ in range(3)),
        {"failed": True, "overage": True, "overage_cents": 1000},
        {"kind": "embedding", "overage_cents": 1000},
    ]
    UsageRecord.objects.bulk_create(UsageRecord(request_id=uuid.uuid4().hex, **row, **more) for more in rows)


def new_client(created: datetime, tier: str = "paid") -> Client:
    client = Client.objects.create(name="Hypothetical", tier=tier)
    Client.objects.filter(pk=client.pk).update(created=created)
    client.refresh_from_db()
    with client_scope(client.pk):
        Subscription.objects.update(starts=created)
    return client


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=bursts, refunds=st.lists(st.integers(1, 60), max_size=4))
def test_an_invoice_is_the_sum_of_the_ledger(
    stranger: Client, case: tuple[date, list[tuple[datetime, int, int]]], refunds: list[int]
) -> None:
    month, overage = case
    client = new_client(datetime(2024, 1, 1, tzinfo=UTC))
    with client_scope(client.pk):
        for at, requests, cents in overage:
            write_overage(client, at, requests, cents)
    expected = {
        at.astimezone(UTC).replace(minute=0, second=0, microsecond=0): (requests, -(-requests // 100) * cents)
        for at, requests, cents in overage
        if (at.astimezone(UTC).year, at.astimezone(UTC).month) == (month.year, month.month)
    }
    invoice = invoices.close(client, month)
    assert invoice is not None
    with client_scope(client.pk):
        lines = invoice.lines.filter(kind="overage")
        assert {line.hour: (line.requests, line.amount_cents) for line in lines} == expected
        assert invoice.total_cents == sum(cents for _, cents in expected.values())
        usage.roll_up()
        start, end = usage.month_bounds(month)
        assert usage.totals(usage.series(start, end, "hour"))["overage_cents"] == invoice.total_cents
    owed = invoice.total_cents
    for cents in refunds:
        if cents <= owed:
            invoices.credit(invoice, cents, "goodwill")
            owed -= cents
        else:
            with pytest.raises(ValueError, match=f"At most {money(owed, invoice.currency)}"):
                invoices.credit(invoice, cents, "too much")
    with client_scope(client.pk):
        assert sum(Invoice.objects.values_list("total_cents", flat=True)) == owed
        assert invoices.close(client, month) is None
    with client_scope(stranger.pk):
        assert not Invoice.objects.exists()


changes = st.lists(st.tuples(st.integers(1, 45 * 24), st.sampled_from(["free", "paid"])), max_size=6)


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(month=st.sampled_from(MONTHS), born=st.integers(-10, 27), moves=changes, price=st.sampled_from([1, 4900, 9999]))
def test_a_subscription_is_paid_by_the_day(month: date, born: int, moves: list[tuple[int, str]], price: int) -> None:
    start, end = usage.month_bounds(month)
    client = new_client(start + timedelta(days=born, hours=7), "free")
    tiers = {client.created: "free"}
    for hours, tier in sorted(moves):
        tiers[client.created + timedelta(hours=hours)] = tier
    for at, tier in list(tiers.items())[1:]:
        client.tier = tier
        subscriptions.follow(client, at)
    with transaction.atomic():  # the plan is this example's only
        Plan.objects.bulk_create([Plan(tier="paid", effective_from=start - timedelta(days=400), requests_per_hour=1000,
                                       overage=True, documents=100, subscription_cents=price)])  # fmt: skip
        plans.load()
        with client_scope(client.pk):
            lines = invoices.lines_of(client, month)
        transaction.set_rollback(True)
    days = []
    for number in range((end - start).days):
        last_moment = start + timedelta(days=number + 1) - timedelta(microseconds=1)
        in_force = [tier for at, tier in tiers.items() if at <= last_moment]
        days.append(in_force[-1] if in_force else None)
    counted = Counter({"free": 0, "paid": 0})
    for line in lines:
        counted["paid" if line.description.startswith("Paid") else "free"] += line.quantity
    assert counted == Counter({"free": days.count("free"), "paid": days.count("paid")})
    runs = sum(1 for a, b in zip([None, *days], days, strict=False) if b == "paid" and a != "paid")
    exact = price * days.count("paid") / len(days)
    assert abs(sum(line.amount_cents for line in lines) - exact) <= max(0.5, runs / 2)
    if days.count("paid") == len(days):
        assert [line.amount_cents for line in lines] == [price]


@pytest.mark.django_db
def test_a_new_price_leaves_the_past_as_it_was(acme: Client) -> None:
    Client.objects.update(created=datetime(2026, 1, 1, tzinfo=UTC))
    acme.refresh_from_db()
    paid = {"tier": "paid", "requests_per_hour": 1000, "overage": True, "documents": 100}
    for began, cents in ((datetime(2026, 1, 1, tzinfo=UTC), 3100), (datetime(2026, 10, 11, tzinfo=UTC), 6200)):
        Plan.objects.bulk_create([Plan(effective_from=began, subscription_cents=cents, **paid)])
    plans.forget()
    with client_scope(acme.pk):
        assert [line.amount_cents for line in invoices.lines_of(acme, date(2026, 9, 1))] == [3100]
        october = invoices.lines_of(acme, date(2026, 10, 1))
    assert [(line.description, line.amount_cents) for line in october] == [
        ("Paid plan, October 2026, 10 of 31 days", 1000),
        ("Paid plan, October 2026, 21 of 31 days", 4200),
    ]


@pytest.mark.django_db
def test_a_month_is_closed_once_and_not_before_its_time(acme: Client, stranger: Client) -> None:
    Client.objects.update(created=datetime(2026, 9, 15, tzinfo=UTC))
    with client_scope(acme.pk):
        write_overage(acme, datetime(2026, 10, 5, 9, tzinfo=UTC), 101, 10)

    def close(month: str) -> str:
        out = StringIO()
        call_command("close_month", month=datetime.strptime(month, "%Y-%m").date(), stdout=out)
        return out.getvalue().strip()

    assert close("2026-10") == "2026-10: 2 invoices issued"
    assert close("2026-10") == "2026-10: 0 invoices issued"
    with client_scope(acme.pk):
        invoice = Invoice.objects.get()
        assert [(line.kind, line.amount_cents, line.quantity) for line in invoice.lines.all()] == [
            ("subscription", 0, 31),
            ("overage", 20, 2),
        ]
        assert [(e.identifier, e.state) for e in BillingEvent.objects.all()] == [(f"{invoice.number}-2", "pending")]
    with pytest.raises(CommandError, match="is not over yet"):
        close(usage.this_month().strftime("%Y-%m"))
    assert close("2026-09") == "2026-09: 2 invoices issued"


@pytest.mark.django_db
def test_a_client_whose_month_can_not_be_closed_keeps_no_other_from_its_bill(
    acme: Client, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Client.objects.update(created=datetime(2026, 9, 15, tzinfo=UTC))
    first, second = Client.objects.order_by("created", "pk")
    lines_of = invoices.lines_of
    monkeypatch.setattr(invoices, "lines_of", lambda of, *rest: 1 / 0 if of == first else lines_of(of, *rest))
    out = StringIO()
    with pytest.raises(CommandError, match=f"{first.name} .* has no invoice"):
        call_command("close_month", month=date(2026, 10, 1), stdout=out)
    assert out.getvalue() == "2026-10: 1 invoices issued\n"
    with unscoped("the test looks at all bills"):
        assert list(Invoice.objects.values_list("client_id", "number")) == [(second.pk, "2026-00001")]


@pytest.mark.django_db
def test_who_changes_something_else_changes_no_tier(acme: Client) -> None:
    stale = Client.objects.get(pk=acme.pk)
    acme.tier = "free"
    acme.save()
    stale.hard_cap = True
    stale.save(update_fields=["hard_cap"])
    with client_scope(acme.pk):
        history = Subscription.objects.values_list("tier", "ends")
        assert [(tier, ends is None) for tier, ends in history] == [("paid", False), ("free", True)]


@pytest.mark.django_db
def test_a_month_with_a_request_under_way_waits_for_it(
    acme: Client, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = async_to_sync(admit)(acme)
    for client in (acme, stranger):
        with client_scope(client.pk):
            ledger.reserve(f"running-{client.pk}", client, admission)
    this_month, next_month = usage.month_bounds(usage.this_month())
    monkeypatch.setattr(invoices.timezone, "now", lambda: next_month + timedelta(minutes=6))
    monkeypatch.setattr(ledger, "ABANDONED", timedelta(days=100))
    with pytest.raises(invoices.NotYet, match="still under way"):
        invoices.close(acme, admission.at.date())
    assert invoices.close(acme, (this_month - timedelta(days=1)).date()) is not None, "it is none of that month"
    with client_scope(acme.pk):
        ledger.record(request_id=f"running-{acme.pk}", usage=Tokens("m"))
    assert invoices.close(acme, admission.at.date()) is not None
    monkeypatch.setattr(ledger, "ABANDONED", timedelta(minutes=5))
    assert invoices.close(stranger, admission.at.date()) is not None, "whose process died"


@pytest.mark.django_db
def test_the_books_refuse_to_be_changed(acme: Client) -> None:
    with client_scope(acme.pk):
        ledger.record(request_id="a", usage=Tokens("m"), at=datetime(2026, 10, 5, tzinfo=UTC))
        row = UsageRecord.objects.get()
        many = UsageRecord.objects.all()
        for change in (row.save, row.delete, many.delete, lambda: many.update(cost=1)):
            with pytest.raises(Immutable):
                change()
    Client.objects.update(created=datetime(2026, 1, 1, tzinfo=UTC))
    acme.refresh_from_db()
    assert invoices.close(acme, date(2026, 10, 1)) is not None
    for table in ("billing_usagerecord", "billing_invoice", "billing_invoiceline"):
        with (
            pytest.raises(DatabaseError, match="never changed"),
            client_scope(acme.pk),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"UPDATE {table} SET client_id = client_id")
