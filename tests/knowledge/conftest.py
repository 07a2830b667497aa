"""Vectors and files of each test lie in a directory of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from knowledge.vectors import embedded


@pytest.fixture
def own_data(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    embedded.release()
    settings.DATA_DIR = tmp_path
    settings.MEDIA_ROOT = tmp_path / "files"
    yield tmp_path
    embedded.release()
