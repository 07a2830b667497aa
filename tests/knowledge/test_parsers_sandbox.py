"""A file costs its own document at most: limits hold, the child dies with its parent, and is replaced."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from knowledge.parsers import ParseError, parse, sandbox
from knowledge.parsers.sandbox import ROOT, Child
from tests.knowledge.files import make_pdf, parse_bytes
from tests.knowledge.hostile import docx_of_empty_paragraphs, pdf_fan_out, pdf_of_zeros


@pytest.fixture
def no_idle_child() -> Iterator[None]:
    sandbox.close_children()
    yield
    sandbox.close_children()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_gone(pid: int, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z":
                time.sleep(0.02)
                continue
        return
    raise AssertionError(f"process {pid} is still there")


def test_time_is_limited_and_the_next_file_is_read(settings) -> None:  # type: ignore[no-untyped-def]
    settings.PARSE_SECONDS = 1
    started = time.monotonic()
    with pytest.raises(ParseError, match="within 1 seconds"):
        parse_bytes(pdf_fan_out(), "pdf")
    assert time.monotonic() - started < 4
    assert parse_bytes(make_pdf(["Fine"]), "pdf").text == "Fine"


@pytest.mark.parametrize(("make", "kind"), [(pdf_of_zeros, "pdf"), (docx_of_empty_paragraphs, "docx")])
def test_memory_is_limited_and_the_next_file_is_read(make, kind: str, settings, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    settings.PARSE_MEMORY_MB = 128
    path = tmp_path / "bomb"
    path.write_bytes(make())
    outcome, _ = sandbox.read_in_child(path, kind, sandbox.configured_limits())
    assert outcome["peak"] <= 128 * 1024 * 1024
    with pytest.raises(ParseError, match=r"memory|not be read"):
        parse(path, kind)
    assert parse_bytes(make_pdf(["Fine"]), "pdf").text == "Fine"


def test_a_child_that_died_while_idle_is_replaced(no_idle_child: None) -> None:
    assert parse_bytes(b"one", "txt").text == "one"
    (first,) = sandbox._idle
    os.kill(first.pid, signal.SIGKILL)
    wait_until_gone(first.pid)
    assert parse_bytes(b"two", "txt").text == "two"
    assert sandbox._idle[-1].pid != first.pid


def test_files_are_read_side_by_side_and_few_children_stay(no_idle_child: None) -> None:
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda n: parse_bytes(f"text {n}".encode(), "txt").text, range(40)))
    assert texts == [f"text {n}" for n in range(40)]
    assert len(sandbox._idle) <= sandbox.MAX_IDLE
    assert len({child.pid for child in sandbox._idle}) == len(sandbox._idle)


def test_the_child_has_no_secrets_no_django_and_no_way_to_write(no_idle_child: None) -> None:
    assert parse_bytes(b"start", "txt").text == "start"
    (child,) = sandbox._idle
    environment = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert os.environ["SECRET_KEY"].encode() not in environment
    assert b"DATABASE_URL" not in environment
    assert b"/django/" not in Path(f"/proc/{child.pid}/maps").read_bytes()
    code = "import sys, knowledge.parsers.child; sys.exit(any(name.startswith('django') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


PARENT = """
import sys
from pathlib import Path
from knowledge.parsers.base import Limits
from knowledge.parsers.sandbox import read_in_child
print("started", flush=True)
read_in_child(Path(sys.argv[1]), "pdf", Limits(60, 1 << 29, 5_000_000, 5000, 100_000))
"""


def test_the_child_and_its_file_die_with_their_parent(tmp_path: Path) -> None:
    (tmp_path / "bomb.pdf").write_bytes(pdf_fan_out())
    command = [sys.executable, "-c", PARENT, str(tmp_path / "bomb.pdf")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 20
        family: list[int] = []
        while len(family) < 2:  # the child, and its fork that reads the file
            assert time.monotonic() < deadline
            family = [pid for child in children(parent.pid) for pid in (child, *children(child))]
        parent.kill()
    for pid in family:
        wait_until_gone(pid)


def test_a_reading_fork_dies_with_the_child(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pdf"
    path.write_bytes(pdf_fan_out())
    child = Child()
    limits = sandbox.configured_limits()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(child.ask, path, "pdf", limits)
        while not (forks := children(child.pid)):
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        assert isinstance(asked.exception(5), sandbox.ChildLost)
    wait_until_gone(forks[0])
    child.close()
