"""The month's revenue on the desk's first page is what the clients' own bills come to."""

from datetime import UTC, datetime, timedelta

from django.utils import timezone

from billing import invoices, plans, subscriptions, usage
from billing.models import Plan
from billing.money import money
from tenants.models import Client, StaffMember
from tenants.scoping import client_scope
from tests.billing.test_invoices import new_client, write_overage
from tests.config.desk import browser_of


def test_revenue_is_the_sum_of_the_bills(acme: Client, stranger: Client) -> None:
    month = usage.this_month()
    start, end = usage.month_bounds(month)
    plan = {"tier": "paid", "requests_per_hour": 1000, "overage": True, "documents": 9, "subscription_cents": 4900}
    Plan.objects.bulk_create([Plan(effective_from=datetime(2026, 1, 1, tzinfo=UTC), **plan)])
    plans.forget()
    Client.objects.update(created=start - timedelta(days=40))
    Client.objects.filter(pk=stranger.pk).update(status=Client.Status.PAUSED)  # and billed all the same
    fresh, free, moved = (
        new_client(start + timedelta(days=9, hours=7)),
        new_client(start - timedelta(days=90), "free"),
        new_client(start - timedelta(days=90)),
    )
    moved.tier = "free"
    subscriptions.follow(moved, start + timedelta(days=12, hours=3))
    Client.objects.filter(pk=moved.pk).update(tier="free")
    with client_scope(acme.pk):
        write_overage(acme, timezone.now(), 101, 25)
        usage.roll_up()

    bills = {}
    for client in Client.objects.all():
        with client_scope(client.pk):
            bills[client.pk] = sum(line.amount_cents for line in invoices.lines_of(client, month))
    days = (end - start).days
    assert bills == {
        acme.pk: 4900 + 50, stranger.pk: 4900, free.pk: 0,
        fresh.pk: round(4900 * (days - 9) / days), moved.pk: round(4900 * 12 / days),
    }  # fmt: skip
    page = browser_of("bill", StaffMember.Role.BILLING).get("/admin/").content.decode()
    assert f"<b>{money(sum(bills.values()), 'USD')}</b>" in page
