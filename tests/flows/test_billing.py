"""After kills, a flush, failures and retries the books equal the answers that were delivered."""

from collections import Counter
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command

from billing import ledger, tasks, usage
from billing.limits import admit
from billing.models import HourCount, Reservation, UsageHour, UsageRecord
from tenants import keys
from tenants.models import Client
from tenants.scoping import client_scope, current_client, unscoped
from tests.contracts.qdrant_server import small_qdrant
from tests.flows.storm import FlakyModel, Storm, two_webs
from tests.knowledge.test_search import BOOTS, SHIPPING, learn

pytestmark = pytest.mark.django_db(transaction=True)


def weather(directory: Path, settings: Any, *, requests: int, at_once: int, kills: int, limit: int) -> None:
    """A storm on a client that pays overage and on one with a hard cap, both with `limit` requests an hour."""
    clients = [
        Client.objects.create(name=name, tier=Client.Tier.PAID, hourly_limit=limit, hard_cap=name == "Capped")
        for name in ("Capped", "Overage")
    ]
    with small_qdrant() as qdrant, FlakyModel() as model:
        settings.QDRANT_URL = qdrant.url
        for client in clients:
            learn(client, "returns", BOOTS, SHIPPING)
        settings_of_webs = {
            "QDRANT_URL": qdrant.url,
            "OPENAI_BASE_URL": model.openai_url,
            "PAID_MODEL": "gpt-4o-mini",
            "ANSWER_CACHE_SECONDS": "0",
            "ANSWER_TIMEOUT": "120",  # a busy machine is not what is tried here
            "LLM_FIRST_TOKEN_TIMEOUT": "100",
            "ANSWER_FIRST_TOKEN_TIMEOUT": "100",
            "SESSION_REQUESTS_PER_MINUTE": "0",
            "ADDRESS_REQUESTS_PER_MINUTE": "0",
            "CLIENT_ANSWERS_AT_ONCE": "0",
        }
        with two_webs(directory, **settings_of_webs) as webs:
            storm = Storm(webs, [keys.mint(c.pk, "publishable")[1] for c in clients], requests, at_once, kills)
            storm.run()
    told = f"{dict(storm.statuses)}; what the processes said is in {directory}"
    print(told)
    assert not storm.changed, told
    assert len(storm.finals) == requests
    assert storm.statuses.keys() <= {0, 200, 429, 502, 503}, told  # 0: killed meanwhile; 503: ask again
    for client, key in zip(clients, storm.keys, strict=True):
        print(f"{client.name}: {compare(client, storm, key, limit)} differences")
    tasks.keep_books()
    with unscoped("the test counts all"):
        assert UsageHour.objects.exists()
    out = StringIO()
    call_command("rebuild_usage", check=True, stdout=out)
    assert out.getvalue() == "0 differences\n"


def compare(client: Client, storm: Storm, key: str, limit: int) -> int:
    """The books of a client against what its visitors got; how many requests were billed and never delivered."""
    with client_scope(client.pk):
        rows = list(UsageRecord.objects.all())
        billed = [row for row in rows if not row.failed]
        delivered = storm.with_status(200, key)
        assert delivered == {row.request_id for row in billed}
        assert len(rows) == len({row.request_id for row in rows})
        assert {row.prompt_tokens for row in billed if row.exact} == {812}  # each of them reached the model
        assert all(row.prompt_tokens for row in billed)  # estimated where its process died with the provider's count
        assert storm.with_status(502, key) <= {row.request_id for row in rows if row.failed}
        left_open = Reservation.objects.count()
        assert left_open <= len(storm.with_status(503, key))  # their process died while it answered
        per_hour = Counter(usage.bucket_start(row.at, "hour") for row in billed)
        counts = {count.hour: count for count in HourCount.objects.all()}
        assert {hour: count.delivered for hour, count in counts.items() if count.delivered} == dict(per_hour)
        assert sum(count.places for count in counts.values()) == len(billed) + left_open
        overage = Counter(usage.bucket_start(row.at, "hour") for row in billed if row.overage)
        if client.hard_cap:
            assert max(count.places for count in counts.values()) <= limit
            assert storm.with_status(429, key) and not overage
        else:
            assert overage == Counter({hour: n - limit for hour, n in per_hour.items() if n > limit})
        return len({row.request_id for row in billed} ^ delivered)


def test_a_storm(tmp_path: Path, settings: Any) -> None:
    weather(tmp_path, settings, requests=240, at_once=16, kills=1, limit=60)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_long_storm(tmp_path: Path, settings: Any) -> None:
    weather(tmp_path, settings, requests=50_000, at_once=100, kills=5, limit=10_000)


def test_what_a_dead_process_left_is_released(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with client_scope(acme.pk):
        ledger.reserve("orphan", acme, async_to_sync(admit)(acme))
    assert tasks.keep_books() == 0
    monkeypatch.setattr(ledger, "ABANDONED", timedelta(0))
    tasks.keep_books()
    with client_scope(acme.pk):
        assert (Reservation.objects.count(), HourCount.objects.get().places) == (0, 0)
        assert [row.failed for row in UsageRecord.objects.all()] == [True]


def test_one_clients_books_that_fail_hold_up_nobody_elses(
    acme: Client, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for client in (acme, stranger):
        with client_scope(client.pk):
            ledger.reserve(f"orphan of {client.name}", client, async_to_sync(admit)(client))

    def release() -> int:
        called.append(current_client())
        if len(called) == 1:
            raise ValueError("a row that nobody expected")
        return released()

    called: list[Any] = []
    released = ledger.release_abandoned
    monkeypatch.setattr(ledger, "ABANDONED", timedelta(0))
    monkeypatch.setattr(ledger, "release_abandoned", release)
    tasks.keep_books()
    left = {}
    for client in (acme, stranger):
        with client_scope(client.pk):
            left[client.pk] = Reservation.objects.count()
    assert left == {called[0]: 1, called[1]: 0}
