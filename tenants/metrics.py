"""The types that every room declares its figures with (in its own metrics.py), for Prometheus.

No label is unbounded: never a client, a key, a session or a document. What one client used is in the books, exactly
and for ever (`GET /api/usage`).

A web process counts in its memory. The processes of a cluster are many and do not live long, so they count in files
under PROMETHEUS_MULTIPROC_DIR (set in config/settings.py), which their supervisor reads. A file belongs to a slot
rather than to a process id: a process takes the lowest free slot and goes on counting where the one before it in
that slot has stopped, so there are never more files than processes at a time.
"""

import fcntl
import functools
import itertools
import os
from pathlib import Path
from typing import IO, Any

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, values

__all__ = ["REGISTRY", "SHARED", "Counter", "Gauge", "Histogram", "series", "take_slot"]

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # the name is prometheus_client's
_taken: dict[int, tuple[int, IO[bytes]]] = {}  # by process id: a fork takes a slot of its own


@functools.cache
def series(metric: Any, *labels: str) -> Any:
    """`metric.labels(...)`, found again in a tenth of the time."""
    return metric.labels(*labels)


def take_slot() -> int:
    """This process's slot, its own until it ends, however it ends."""
    pid = os.getpid()
    if pid not in _taken:
        _taken[pid] = _lowest_free(Path(os.environ[SHARED]))
    return _taken[pid][0]


def _lowest_free(directory: Path) -> tuple[int, IO[bytes]]:
    for number in itertools.count():
        file = (directory / f"slot-{number}").open("ab")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: a fork does not inherit it
        except OSError:
            file.close()
            continue
        return number, file
    raise AssertionError("unreachable")


if SHARED in os.environ:
    values.ValueClass = values.MultiProcessValue(take_slot)
