"""What is in a backup, by checksum; read and compared before anything is restored."""

import hashlib
import json
import tarfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django.utils.crypto import salted_hmac

FORMAT = 1
NAME = "manifest.json"
Manifest = dict[str, Any]


class BadBackup(Exception):
    """It can't be restored; the text says why, for the operator."""


def fingerprint(secret_key: str) -> str:
    """Tells whether a SECRET_KEY is another one, and nothing else about it."""
    return salted_hmac("config.backups", "fingerprint", secret=secret_key, algorithm="sha256").hexdigest()[:16]


def seal(directory: Path, about: Manifest, progress: Callable[[int], object]) -> Manifest:
    """Write the manifest of everything that is in `directory` now. `progress` is told bytes."""
    entries = {}
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        entries[path.relative_to(directory).as_posix()] = {
            "bytes": path.stat().st_size,
            "sha256": _digest(path, progress),
        }
    manifest = {
        "format": FORMAT,
        "version": settings.VERSION,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "secretKey": fingerprint(settings.SECRET_KEY),
        **about,
        "entries": entries,
    }
    (directory / NAME).write_text(json.dumps({**manifest, "checksum": _checksum(manifest)}, indent=1))
    return manifest


def verify(directory: Path, progress: Callable[[int], object]) -> Manifest:
    """The manifest, after every byte was compared with it; BadBackup."""
    try:
        manifest = json.loads((directory / NAME).read_text())
        checksum = manifest.pop("checksum")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise BadBackup(f"There is no readable {NAME}: this is no backup, or its making was cut short.") from error
    if checksum != _checksum(manifest):
        raise BadBackup(f"The backup is damaged: {NAME} was changed.")
    if manifest["format"] != FORMAT:
        raise BadBackup(f"The backup has format {manifest['format']}; this version reads format {FORMAT}.")
    for name, entry in manifest["entries"].items():
        path = directory / _safe(name)
        if not path.is_file():
            raise BadBackup(f"The backup is damaged: {name} is missing.")
        if path.stat().st_size != entry["bytes"] or _digest(path, progress) != entry["sha256"]:
            raise BadBackup(f"The backup is damaged: {name} is not what it was.")
    unknown = set(map(tuple, manifest["migrations"])) - set(MigrationLoader(None).disk_migrations or ())
    if unknown:
        names = ", ".join(sorted(".".join(migration) for migration in unknown))
        raise BadBackup(f"The backup was made by version {manifest['version']}, whose {names} this version lacks.")
    return manifest


def pack(directory: Path, target: Path) -> None:
    """The directory as one tar file, which appears under its name when it is whole."""
    partial = target.with_name(f"{target.name}.partial")
    partial.touch(mode=0o600)
    try:
        with tarfile.open(partial, "w") as tar:
            for path in sorted(path for path in directory.rglob("*") if path.is_file()):
                tar.add(path, path.relative_to(directory).as_posix())
        partial.rename(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def unpack(source: Path, directory: Path) -> None:
    """A tar file's content into `directory`; BadBackup for anything but plain files."""
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                if member.isdir():  # of an operator's own tar
                    continue
                if not member.isfile():
                    raise BadBackup(f"The backup holds {member.name}, which is no plain file.")
                _safe(member.name)
                tar.extract(member, directory, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise BadBackup(f"{source} is damaged, or no tar file: {error}") from error


def _safe(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BadBackup(f"The backup names {name}, which lies outside of it.")
    return name


def _digest(path: Path, progress: Callable[[int], object]) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with suppress(OSError):
        progress(path.stat().st_size)
    return digest


def _checksum(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
