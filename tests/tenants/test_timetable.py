"""Jobs run when they are due, or when their work arises: by Django-Q2, or in one thread of the web process."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.db import transaction
from django.utils.module_loading import import_string

from tenants import timetable
from tenants.jobs import job

ran: list[str] = []
ended = threading.Event()


@job
def again() -> None:
    """Has more to do, twice."""
    ran.append("again")
    if ran.count("again") < 3:
        timetable.soon(NAMES[0])
    else:
        timetable.soon(NAMES[1])


@job
def fails() -> None:
    ran.append("fails")
    timetable.soon(NAMES[2])
    raise ValueError("canary")


@job
def last() -> None:
    ran.append("last")
    ended.set()


NAMES = [f"{__name__}.{name}" for name in ("again", "fails", "last")]


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A time-table of these jobs alone, none of which is due within the hour."""
    monkeypatch.setattr(timetable, "_minutes", dict.fromkeys(NAMES, 60))
    monkeypatch.setattr(timetable, "_due", {})
    ran.clear()
    ended.clear()
    yield
    timetable.stop_thread()


@pytest.mark.django_db(transaction=True)
def test_the_thread_runs_what_is_asked_for_and_outlives_a_failure_that_is_logged_once(
    three: None, settings: Any
) -> None:
    settings.EMBEDDED = True
    timetable.start_thread()
    with structlog.testing.capture_logs() as lines:
        with transaction.atomic():
            timetable.soon(NAMES[0])
            assert not ended.wait(0.2) and ran == []  # not before the rows are there
        assert ended.wait(20)
    assert ran == ["again"] * 3 + ["fails", "last"]
    assert [line["event"] for line in lines] == ["a job failed"]


def test_jobs_are_entered_in_the_queue_s_time_table_once_and_an_operator_s_change_stays(db: None) -> None:
    from django_q.models import Schedule

    Schedule.objects.all().delete()
    timetable.enter()
    Schedule.objects.filter(func="billing.tasks.keep_books").update(minutes=17)
    timetable.enter()
    assert all(callable(import_string(name)) for name in timetable._minutes)
    entered = Schedule.objects.values_list("func", "minutes")
    assert len(entered) == len(timetable._minutes)
    assert dict(entered) == {**timetable._minutes, "billing.tasks.keep_books": 17}


def test_the_queue_is_asked_for_a_job_in_the_transaction_of_its_work(db: None, settings: Any) -> None:
    from django_q.models import OrmQ

    settings.EMBEDDED = False
    with pytest.raises(LookupError):
        timetable.soon("chat.tasks.group_gasp")
    with pytest.raises(RuntimeError), transaction.atomic():
        timetable.soon("chat.tasks.group_gaps")
        raise RuntimeError
    assert not OrmQ.objects.exists()
    timetable.soon("chat.tasks.group_gaps")
    assert [row.func() for row in OrmQ.objects.all()] == ["chat.tasks.group_gaps"]
