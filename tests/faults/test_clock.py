"""The machine's clock is put forward or back by hours: nothing waits for it to come round again.

The jump goes through `timezone.now`, the one source of every time that is stored. What is measured by
`time.monotonic` (deadlines, breakers, signs of life in one process) does not notice a jump.
"""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis
from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils import timezone
from pytest_django import Settings

from billing import ledger, limits
from chat import sweeper
from chat.models import Message, Session
from knowledge import callbacks
from knowledge.models import Callback
from knowledge.pipeline.lease import claim_next
from tenants.models import Client
from tenants.scoping import client_scope
from tests.chat import conftest as chat_fixtures
from tests.config import test_invariants as command
from tests.contracts.receiver import receiver
from tests.knowledge.ingestion import assert_consistent, texts, upload, work

pytestmark = pytest.mark.django_db(transaction=True)
fresh_limits = chat_fixtures.fresh_limits
Jump = Callable[[timedelta], None]
JUMPS = pytest.mark.parametrize("by", [timedelta(hours=-2), timedelta(hours=2)], ids=["back", "forward"])


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jump]:
    real = timezone.now

    def to(by: timedelta) -> None:
        def now() -> datetime:
            return real() + by

        monkeypatch.setattr(timezone, "now", now)

    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    return to


@JUMPS
def test_a_dead_runs_document_is_taken_over(
    own_data: Path, acme: Client, stranger: Client, jump: Jump, by: timedelta
) -> None:
    upload(stranger, "The stranger's boots.")
    upload(acme)
    for _ in (acme, stranger):
        assert claim_next() is not None  # and here the worker dies
    assert work() == 0
    jump(by)
    assert work() == 2
    for client in (acme, stranger):
        assert list(texts(client)) == ["doc"]
        assert_consistent(client)
    assert command.lines() == set()


@JUMPS
def test_callbacks_go_on(own_data: Path, acme: Client, jump: Jump, by: timedelta, settings: Settings) -> None:
    with receiver() as express:
        settings.EXPRESS_CALLBACK_URL = express.url
        settings.EGRESS_ALLOWED_PRIVATE = ["127.0.0.1/32"]
        upload(acme)
        express.script = [500]
        assert callbacks.deliver_next()
        jump(by)
        assert callbacks.deliver_next()
        assert [status for status, _ in express.of("doc")] == ["pending"]
    with client_scope(acme.pk):
        assert not Callback.objects.exists()


@JUMPS
def test_an_answer_whose_process_died_is_closed(
    own_data: Path, fresh_limits: None, acme: Client, jump: Jump, by: timedelta
) -> None:
    trace = uuid.uuid4()
    admission = async_to_sync(limits.admit)(acme)
    with client_scope(acme.pk):
        session = Session.objects.create()
        Message.objects.create(session=session, trace_id=trace, role="visitor", text="Boots?")
        Message.objects.create(session=session, trace_id=trace, role="assistant", outcome="running")
        ledger.reserve(str(trace), acme, admission)
    assert async_to_sync(sweeper.sweep)() == 0
    jump(by)
    assert async_to_sync(sweeper.sweep)() == 1
    with client_scope(acme.pk):
        assert Message.objects.get(role="assistant").outcome == "failed"
    jump(timedelta(0))
    assert command.lines() == set()


@JUMPS
def test_a_full_hour_stays_full_for_its_hour_only(
    own_data: Path, fresh_limits: None, acme: Client, jump: Jump, by: timedelta
) -> None:
    """Another hour has its own places; coming back finds the first one as it was."""
    Client.objects.filter(pk=acme.pk).update(hourly_limit=1, hard_cap=True)
    acme.refresh_from_db()
    for offset, remaining in ((timedelta(0), 0), (by, 0), (timedelta(0), None), (by, None)):
        jump(offset)
        try:
            admission = async_to_sync(limits.admit)(acme)
        except Exception as error:  # noqa: BLE001 - its code is what is compared
            assert (remaining, getattr(error, "code", error)) == (None, "RATE_LIMITED")
        else:
            assert remaining == admission.remaining
