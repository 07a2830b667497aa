"""No file, however made, kills its reader's parent, takes longer than the limit, or more memory than the limit."""

import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest

from knowledge.parsers import ParseError, sandbox
from knowledge.parsers.sandbox import configured_limits, read_in_child
from tests.knowledge import hostile
from tests.knowledge.files import make_pdf, parse_bytes

MEMORY = 512 * 1024 * 1024
LIMIT = 31  # seconds: the setting, and the killing of what goes beyond it


def seconds_of(files: Iterable[tuple[str, bytes]], path: Path) -> list[float]:
    """Read each file; all of them must end, with a text or with a reason, within the limits."""
    taken = []
    limits = configured_limits()
    for kind, data in files:
        path.write_bytes(data)
        started = time.monotonic()
        outcome, answer = read_in_child(path, kind, limits)
        taken.append(time.monotonic() - started)
        assert outcome["peak"] <= MEMORY
        try:
            assert sandbox._result(outcome, answer, limits).text
        except ParseError as error:
            assert str(error).endswith(".")
    assert parse_bytes(make_pdf(["Fine"]), "pdf").text == "Fine"
    return taken


PDF_BOMBS = [hostile.pdf_of_zeros, hostile.pdf_of_operators, hostile.pdf_of_too_much_text]


@pytest.mark.parametrize("make", PDF_BOMBS, ids=lambda make: make.__name__)
def test_pdf_bombs(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert max(seconds_of([("pdf", make())], tmp_path / "file")) < LIMIT


def test_pdf_loops(tmp_path: Path, settings) -> None:  # type: ignore[no-untyped-def]
    settings.PARSE_SECONDS = 5
    assert max(seconds_of((("pdf", data) for data in hostile.pdf_loops()), tmp_path / "file")) < 10


def test_docx_bombs(tmp_path: Path) -> None:
    assert max(seconds_of((("docx", data) for data in hostile.docx_bombs()), tmp_path / "file")) < LIMIT


@pytest.mark.parametrize("size", [200_000, pytest.param(10_000_000, marks=pytest.mark.soak)])
def test_text_and_csv_bombs(size: int, tmp_path: Path) -> None:
    texts = (("txt", data) for data in hostile.text_bombs(size))
    tables = (("csv", data) for data in hostile.csv_bombs(size))
    assert max(seconds_of(chain(texts, tables), tmp_path / "file")) < (10 if size < 1_000_000 else LIMIT)


def test_files_of_another_type(tmp_path: Path) -> None:
    good = hostile.good_files()
    files = [(kind, data) for kind in good for other, data in good.items() if other != kind]
    assert max(seconds_of(files, tmp_path / "file")) < 5


@pytest.mark.parametrize("kind", ["pdf", "docx"])
def test_truncations(kind: str, tmp_path: Path) -> None:
    data = hostile.good_files()[kind]
    files = ((kind, data[: len(data) * part // 12]) for part in range(12))
    assert max(seconds_of(files, tmp_path / "file")) < 5


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.soak)])
def test_mutants_of_good_files(count: int, tmp_path: Path) -> None:
    taken = sorted(seconds_of(hostile.mutants(count, seed=count), tmp_path / "file"))
    assert taken[int(0.99 * len(taken))] < 3
    assert taken[-1] < LIMIT
