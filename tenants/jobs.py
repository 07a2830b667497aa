"""What every job of the queue has in common: its lines in the log are told apart, and its failure quotes nothing."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog

from tenants.errors import cause_of, new_trace_id

log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class JobFailed(Exception):
    """The queue writes a failed job's traceback into its log and its table; this one holds no data."""


def job(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates an envelope that Django-Q2 delivers."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with structlog.contextvars.bound_contextvars(
            trace_id=str(new_trace_id()), caller="worker", job=function.__name__
        ):
            try:
                return function(*args, **kwargs)
            except Exception as error:
                log.exception("a job failed")
                raise JobFailed(cause_of(error)) from None

    return run
