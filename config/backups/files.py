"""The stored files: collected while uploads and deletions go on, and put back."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from django.conf import settings

PIECE = 1 << 20


def collect(names: Mapping[str, str], target: Path, progress: Callable[[int], object]) -> set[str]:
    """Copy the files (name -> sha256) that are not in `target` yet; the names of those that are not there."""
    missing = set()
    for name in names:
        if not (target / name).exists():
            try:
                _copy(Path(settings.MEDIA_ROOT) / name, target / name)
            except FileNotFoundError:
                missing.add(name)
            progress(1)
    return missing


def keep_only(names: Mapping[str, str], target: Path) -> list[str]:
    """Remove what no row names any more; the names of those whose content is not what their row says."""
    wrong = []
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        name = path.relative_to(target).as_posix()
        if name not in names:
            path.unlink()
            continue
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != names[name]:
                wrong.append(name)
    return wrong


class Replacement:
    """The stored files of a backup, copied beside the present ones and put in their place at the end."""

    def __init__(self, source: Path):
        self._source = source
        self._root = Path(settings.MEDIA_ROOT)
        self._fresh = self._root.with_name(f"{self._root.name}.restored")
        self._old = self._root.with_name(f"{self._root.name}.before-restore")

    def prepare(self) -> None:
        """Everything that can fail for want of space happens here."""
        shutil.rmtree(self._fresh, ignore_errors=True)
        self._fresh.mkdir(parents=True)
        if self._source.is_dir():
            shutil.copytree(self._source, self._fresh, dirs_exist_ok=True)

    def put_in_place(self) -> None:
        shutil.rmtree(self._old, ignore_errors=True)
        if self._root.exists():
            self._root.rename(self._old)
        self._fresh.rename(self._root)

    def forget_old(self) -> None:
        shutil.rmtree(self._old, ignore_errors=True)

    def undo(self) -> None:
        """The present files as they were."""
        shutil.rmtree(self._fresh, ignore_errors=True)
        if self._old.exists():
            shutil.rmtree(self._root, ignore_errors=True)
            self._old.rename(self._root)


def present() -> bool:
    """Are there stored files?"""
    root = Path(settings.MEDIA_ROOT)
    return root.is_dir() and any(path.is_file() for path in root.rglob("*"))


def _copy(source: Path, target: Path) -> None:
    """Under its name only when it is whole."""
    with source.open("rb") as wanted:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        with partial.open("wb") as copy:
            shutil.copyfileobj(wanted, copy, PIECE)
        partial.rename(target)
