"""What every job of the queue has in common."""

import importlib
import inspect

import pytest
import structlog
from django.apps import apps
from django.utils.module_loading import module_has_submodule

from tenants.jobs import JobFailed, job

MODULES = [
    importlib.import_module(f"{app.name}.tasks")
    for app in apps.get_app_configs()
    if app.name in ("billing", "chat", "knowledge", "tenants") and module_has_submodule(app.module, "tasks")
]
JOBS = [
    function
    for module in MODULES
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
]


def test_every_task_is_a_job() -> None:
    assert {module.__name__ for module in MODULES} == {
        f"{a}.tasks" for a in ("billing", "chat", "knowledge", "tenants")
    }
    inside = job(lambda: None).__code__
    assert [function.__qualname__ for function in JOBS if function.__code__ is not inside] == []


def test_a_failed_job_tells_the_queue_what_failed_and_no_data() -> None:
    def burst(word: str) -> None:
        raise ValueError(f"can't read {word}")

    with pytest.raises(JobFailed) as failed:
        job(burst)("canary")
    assert str(failed.value).startswith("ValueError") and "canary" not in str(failed.value)
    assert failed.value.__suppress_context__


def test_a_jobs_lines_are_told_apart() -> None:
    @job
    def bound() -> dict[str, str]:
        return structlog.contextvars.get_contextvars()

    told, again = bound(), bound()
    assert (told["caller"], told["job"]) == ("worker", "bound") and told["trace_id"] != again["trace_id"]
    assert structlog.contextvars.get_contextvars() == {}
