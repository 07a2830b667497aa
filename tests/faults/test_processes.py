"""SIGTERM and SIGKILL of each process, and what the machine itself can do to the product.

What ends as a whole is started again at once, as Docker's `restart: unless-stopped` does.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.stage import Stage
from tests.flows.installation import kill


@contextlib.contextmanager
def web_ends(stage: Stage, number: int) -> Iterator[None]:
    stage.product.stop_web(number)
    try:
        yield
    finally:
        stage.product.start_web()


@contextlib.contextmanager
def cluster_ends(stage: Stage) -> Iterator[None]:
    assert stage.product.stop_cluster() == 0
    try:
        yield
    finally:
        stage.product.start_cluster()


@contextlib.contextmanager
def watch_killed(stage: Stage) -> Iterator[None]:
    kill(stage.product.cluster.pid)  # type: ignore[union-attr]
    stage.product.cluster.wait()  # type: ignore[union-attr]
    try:
        yield
    finally:
        stage.product.start_cluster()


@contextlib.contextmanager
def child_killed(stage: Stage, place: int) -> Iterator[None]:
    """One of the cluster's own processes, by its place; nobody starts it again but the watch."""
    stage.product.wait_for_workers(1)
    kill(stage.product.processes()[place])
    yield


@contextlib.contextmanager
def disk_full(stage: Stage) -> Iterator[None]:
    """Stored files lie on a file system of 1 MB, which something else has filled."""
    files = Path(stage.product.environment["DATA_DIR"]) / "files"
    kept = files.with_name("files.kept")
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    shutil.copytree(files, kept)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", files], capture_output=True).returncode:
        shutil.rmtree(kept)
        pytest.skip("no file system can be mounted here")
    try:
        shutil.copytree(kept, files, dirs_exist_ok=True)
        with contextlib.suppress(OSError), (files / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()
        yield
        assert {path.name for path in files.rglob("*") if path.is_file()} - {"filler"} == {
            path.name for path in kept.rglob("*") if path.is_file()
        }, "half a file was left behind"
    finally:
        subprocess.run(["umount", files], check=True)
        shutil.rmtree(kept)


ENDS: dict[str, Callable[[Stage], contextlib.AbstractContextManager[None]]] = {
    "web SIGKILL": lambda stage: web_ends(stage, signal.SIGKILL),
    "web SIGTERM": lambda stage: web_ends(stage, signal.SIGTERM),
    "cluster SIGTERM": cluster_ends,
    "watch SIGKILL": watch_killed,
    "main process SIGKILL": lambda stage: child_killed(stage, 1),
    "sentinel SIGKILL": lambda stage: child_killed(stage, 2),
    "first worker or helper SIGKILL": lambda stage: child_killed(stage, 3),
    "last worker or helper SIGKILL": lambda stage: child_killed(stage, -1),
    "disk full": disk_full,
}
ALWAYS = ("disk full",)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.soak, id=name) for name in ENDS]
)
def test_a_process_ends(play: Stage, name: str) -> None:
    started = time.monotonic()
    line = play.suffer(ENDS[name](play), 2.0, absent=name.startswith("web"))
    print(f"{name}: {line} (in all {time.monotonic() - started:.0f} s)")
