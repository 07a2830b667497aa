"""Hours derived from the ledger, and what the dashboard sees of them."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.test import Client as Browser
from django.utils import timezone

from billing import ledger, tasks, usage
from billing.ledger import Tokens
from billing.limits import admit
from billing.models import Budget, UsageHour, UsageRecord
from tenants import keys
from tenants.models import Client
from tenants.scoping import client_scope, unscoped

PRICES = {"input": "1", "output": "2"}
NINE = datetime(2026, 10, 5, 9, 30, tzinfo=UTC)


def chat(client: Client, request_id: str, at: datetime, **more: Any) -> None:
    with client_scope(client.pk):
        assert ledger.record(request_id=request_id, usage=Tokens("m", 100, 10), prices=PRICES, at=at, **more)


def october(client: Client) -> None:
    """Three answers at nine (one cached, one over the limit of two), one at ten, an embedding, a failure."""
    client.hourly_limit = 2
    client.save()
    for number, latency in enumerate((300, 100, 200)):
        chat(client, f"{client.name}-{number}", NINE, latency_ms=latency, cached=number == 1)
    chat(client, f"{client.name}-ten", NINE + timedelta(hours=1))
    with client_scope(client.pk):
        ledger.record(request_id=f"{client.name}-e", usage=Tokens("e", 700), prices=PRICES, at=NINE, kind="embedding")
        UsageRecord.objects.create(request_id=f"{client.name}-f", at=NINE, failed=True)


@pytest.fixture
def express(client: Browser) -> Any:
    """The dashboard's way in: GET with the internal secret."""
    return lambda path, **query: client.get(
        f"/api/{path}", query, headers={"X-Internal-Secret": "tests-internal-secret-0123456789abcdef"}
    )


@pytest.mark.django_db
def test_hours_are_the_ledger_in_figures(acme: Client, stranger: Client, express: Any) -> None:
    october(acme)
    october(stranger)
    reply = express("usage", clientId=acme.pk, granularity="hour", **{"from": "2026-10-05", "to": "2026-10-05"})
    nine = {
        "start": "2026-10-05T09:00:00Z", "requests": 3, "overage": 1, "overageCents": 10, "cached": 1, "errors": 1,
        "promptTokens": 300, "completionTokens": 30, "cacheReadTokens": 0, "cacheWriteTokens": 0,
        "embeddingTokens": 700, "cost": "0.00106000", "p50Ms": 200, "p95Ms": 300,
    }  # fmt: skip
    ten = nine | {
        "start": "2026-10-05T10:00:00Z", "requests": 1, "overage": 0, "overageCents": 0, "cached": 0, "errors": 0,
        "promptTokens": 100, "completionTokens": 10, "embeddingTokens": 0, "cost": "0.00012000", "p50Ms": None,
        "p95Ms": None,
    }  # fmt: skip
    total = {name: nine[name] + ten[name] for name in nine if isinstance(nine[name], int) and name[0] != "p"}
    assert reply.json() == {
        "clientId": str(acme.pk), "from": "2026-10-05T00:00:00Z", "to": "2026-10-06T00:00:00Z", "granularity": "hour",
        "currency": "USD", "items": [nine, ten],
        "totals": {**total, "promptTokens": 400, "cost": "0.00118000"},
    }  # fmt: skip
    by_month = express("usage", clientId=acme.pk, granularity="month", **{"from": "2026-10-01", "to": "2026-10-31"})
    assert [(i["start"], i["requests"]) for i in by_month.json()["items"]] == [("2026-10-01T00:00:00Z", 4)]
    for end in ("2026-10-31", "2026-11-01T00:00:00Z", "2026-10-05T20:00:00Z"):  # by itself, it is that of a month
        whole = express("usage", clientId=acme.pk, granularity="month", to=end).json()
        assert (whole["from"], whole["items"]) == ("2026-10-01T00:00:00Z", by_month.json()["items"])


@pytest.mark.django_db
def test_rebuilt_equals_kept_and_a_wrong_hour_is_found(acme: Client, stranger: Client) -> None:
    october(acme)
    october(stranger)
    with client_scope(acme.pk):
        assert usage.roll_up() == 2
        assert usage.roll_up() == 0
    chat(acme, "late", NINE)
    with client_scope(acme.pk):
        assert usage.roll_up() == 1

    def rebuild(**options: Any) -> str:
        out = StringIO()
        call_command("rebuild_usage", stdout=out, **options)
        return out.getvalue().splitlines()[-1]

    assert rebuild() == "0 differences"
    with unscoped("the test looks at both"):
        kept = list(UsageHour.objects.order_by("client", "date", "hour").values())
        UsageHour.objects.filter(client=acme, hour=9).update(requests=99, p95_ms=1)
    with pytest.raises(SystemExit):
        rebuild(check=True)
    assert rebuild() == "0 differences"
    assert rebuild(check=True) == "0 differences"
    with unscoped("the test looks at both"):
        again = list(UsageHour.objects.order_by("client", "date", "hour").values())
    assert [row | {"id": 0} for row in again] == [row | {"id": 0} for row in kept]


@pytest.mark.django_db
def test_a_clock_that_was_ahead_hides_no_later_hours(acme: Client) -> None:
    now = timezone.now()
    for name, days in (("ahead", 90), ("now", 0)):
        chat(acme, name, now + timedelta(days=days))
        assert tasks.keep_books() == 1
    with client_scope(acme.pk):
        assert sorted(UsageHour.objects.values_list("date", flat=True)) == [
            (now + timedelta(days=days)).date() for days in (0, 90)
        ]


@pytest.mark.django_db
def test_hours_are_kept_that_passed_without_a_worker(
    acme: Client, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat(acme, "friday", NINE)
    assert tasks.keep_books() == 1
    for days, client in ((1, acme), (2, stranger)):
        chat(client, f"{client.name}-unkept", NINE + timedelta(days=days))
    monkeypatch.setattr(usage.timezone, "now", lambda: NINE + timedelta(days=9))
    assert tasks.keep_books() == 2


@pytest.mark.django_db
def test_the_present_hour_counts_what_is_under_way(acme: Client, stranger: Client, express: Any) -> None:
    admission = async_to_sync(admit)(acme)
    with client_scope(acme.pk):
        ledger.reserve("running", acme, admission)
    chat(acme, "done", timezone.now(), latency_ms=5)
    chat(stranger, "theirs", timezone.now())
    now = express("usage/current", clientId=acme.pk).json()
    hour = admission.hour.isoformat().replace("+00:00", "Z")
    assert now["hour"] == {
        "start": hour, "limit": 1000, "used": 2, "remaining": 998, "overage": 0, "hardCap": False,
        "resetAt": (admission.hour + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    assert (now["month"]["requests"], now["month"]["cost"]) == (1, "0.00012000")
    assert now["estimatedBill"] == {"currency": "USD", "subscriptionCents": 0, "overageCents": 0, "totalCents": 0}
    assert (now["tier"], now["budget"]) == ("paid", None)


@pytest.mark.django_db
def test_a_budget_shows_what_was_spent_before_it_was_set(acme: Client, express: Any) -> None:
    chat(acme, "before", timezone.now())
    with client_scope(acme.pk):
        Budget.objects.create(monthly=Decimal("5.00"))
    shown = express("usage/current", clientId=acme.pk).json()["budget"]
    assert shown == {"monthly": "5.00", "spent": "0.00012000", "held": "0"}


@pytest.mark.django_db
def test_who_may_look(acme: Client, stranger: Client, acme_key: str, client: Browser, express: Any) -> None:
    _, with_scope = keys.mint(acme.pk, "secret", scopes=["usage"])
    _, without = keys.mint(acme.pk, "secret", scopes=["documents"])
    chat(stranger, "theirs", NINE)
    for path in ("usage", "usage/current", "invoices"):
        asked = {"clientId": str(stranger.pk), "from": "2026-10-01", "to": "2026-10-31"}
        mine = client.get(f"/api/{path}", asked, headers={"Authorization": f"Bearer {with_scope}"})
        assert (mine.status_code, mine.json()["clientId"]) == (200, str(acme.pk))
        assert "items" not in mine.json() or mine.json()["items"] == []
        for headers in ({"Authorization": f"Bearer {without}"}, {"x-api-key": acme_key}, {}):
            assert client.get(f"/api/{path}", asked, headers=headers).status_code == 401
        assert express(path).json()["error"]["code"] == "INVALID_REQUEST"
        assert express(path, clientId="no-such").json()["error"]["code"] == "NOT_FOUND"


@pytest.mark.django_db
def test_a_customers_own_key_is_not_told_what_its_answers_cost(acme: Client, client: Browser, express: Any) -> None:
    october(acme)
    chat(acme, "now", timezone.now())
    with client_scope(acme.pk):
        Budget.objects.create(monthly=Decimal("5.00"))
    _, key = keys.mint(acme.pk, "secret", scopes=["usage"])
    for path in ("usage", "usage/current"):
        asked = {"from": "2026-10-01", "to": "2026-10-31"}
        ours = express(path, clientId=acme.pk, **asked).json()
        theirs = client.get(f"/api/{path}", asked, headers={"Authorization": f"Bearer {key}"}).json()
        assert '"cost"' in json.dumps(ours)
        assert without(theirs, ()) == without(ours, ("cost", "budget"))


def without(told: Any, names: tuple[str, ...]) -> Any:
    if isinstance(told, list):
        return [without(part, names) for part in told]
    return (
        {name: without(part, names) for name, part in told.items() if name not in names}
        if isinstance(told, dict)
        else told
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query",
    [
        {"granularity": "week"},
        {"from": "yesterday"},
        {"from": "2026-10-02", "to": "2026-10-01"},
        {"from": "2020-01-01", "to": "2026-01-01", "granularity": "hour"},
        {"to": "0001-01-01"},
        {"to": "9999-12-31"},
    ],
)
def test_a_question_without_sense_is_refused(acme: Client, express: Any, query: dict[str, str]) -> None:
    reply = express("usage", clientId=acme.pk, **query)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    if "granularity" in query and len(query) == 1:
        assert "Write hour, day or month." in reply.json()["error"]["message"]


@pytest.mark.django_db
def test_a_client_sets_its_own_limits_only(acme: Client, stranger: Client, client: Browser) -> None:
    _, key = keys.mint(acme.pk, "secret", scopes=["usage"])

    def patch(target: Client, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        return client.patch(f"/api/clients/{target.pk}/limits", body, "application/json", headers=headers)

    changed = patch(acme, {"hardCap": True, "alertThreshold": 50, "alertEmail": "ops@acme.example"})
    assert changed.json() == {
        "clientId": str(acme.pk), "hourlyLimit": 1000, "hardCap": True, "overageCents": 10, "alertThreshold": 50,
        "alertEmail": "ops@acme.example",
    }  # fmt: skip
    assert patch(acme, {"hardCap": False, "overageCents": 0}).json()["overageCents"] == 10
    unknown = patch(acme, {"hardCap": True, "hard_cap": True})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    assert "hard_cap" in unknown.json()["error"]["message"]
    assert patch(acme, {"alertThreshold": 0}).status_code == 400
    assert patch(acme, {"alertEmail": "nobody"}).status_code == 400
    assert patch(stranger, {"hardCap": True}).status_code == 404
    acme.refresh_from_db()
    stranger.refresh_from_db()
    assert (acme.hard_cap, acme.alert_threshold, acme.overage_cents, acme.alert_email) == (
        False, 50, 10, "ops@acme.example",
    )  # fmt: skip
    assert stranger.hard_cap is False
