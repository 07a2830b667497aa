"""`manage.py backup`: rows and files into one directory or tar file, while the product runs."""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from tqdm import tqdm

from config.backups import files, manifest, postgres, sqlite
from config.backups.manifest import Manifest

ROUNDS = 10  # each is as short as the time to copy what was uploaded since the one before


class Command(BaseCommand):
    help = (
        "Write the database and the stored files of one moment into a new directory, or into one file if TARGET ends "
        "in .tar. The product may go on running. Vectors and Redis are not in it: restore makes the vectors anew. "
        "Keep SECRET_KEY (or the .env file) elsewhere beside it: without it every API key is invalid. The backup "
        "holds everything that clients and visitors wrote, and is readable for this user only."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("target", type=Path, metavar="TARGET", help="a directory that does not exist, or FILE.tar")
        parser.add_argument("--json", action="store_true", help="print what was written as one JSON object")

    def handle(self, *args: Any, target: Path, **options: Any) -> None:
        if target.exists():
            raise CommandError(f"{target} exists. Choose another name; a backup is never overwritten.")
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("The database is not up to date: run migrate first.")
        partial = target.with_name(f"{target.name}.making")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(mode=0o700, parents=True)
            found, warnings = _write(partial)
            _finish(partial, target)
        except OSError as error:
            raise CommandError(f"The backup could not be written: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for warning in warnings:
            self.stderr.write(self.style.WARNING(warning))
        size = sum(entry["bytes"] for entry in found["entries"].values())
        stored = sum(name.startswith("files/") for name in found["entries"])
        if options["json"]:
            self.stdout.write(json.dumps({"target": str(target), "bytes": size, "files": stored, "warnings": warnings}))
        else:
            self.stdout.write(f"{target}: {size / 1e6:.1f} MB, {stored} stored files")


def back_end() -> ModuleType:
    return postgres if connection.vendor == "postgresql" else sqlite


def _write(directory: Path) -> tuple[Manifest, list[str]]:
    """Collect files until a snapshot of the rows names none that is not there: a file that was deleted between the
    snapshot and its copying makes that snapshot worthless, and the next one no longer names it."""
    rows, stored = directory / "database", directory / "files"
    stored.mkdir()
    lost: set[str] = set()
    with tqdm(unit="file", desc="Files", disable=None) as bar:
        with back_end().snapshot(rows) as first:
            names = first.files()
        bar.total = len(names)
        files.collect(names, stored, bar.update)  # most of them, with no transaction open
        for turn in range(ROUNDS):
            with back_end().snapshot(rows) as snapshot:
                names = snapshot.files()
                before, lost = lost, files.collect(names, stored, bar.update)
                if lost and lost != before and turn < ROUNDS - 1:
                    continue
                about = snapshot.write(rows)
                break
    wrong = files.keep_only(names, stored)
    warnings = [f"{name}: a row names this file, and it is not there" for name in sorted(lost)]
    warnings += [f"{name}: this file is not what its row says" for name in wrong]
    with tqdm(unit="B", unit_scale=True, desc="Checksums", disable=None) as bar:
        return manifest.seal(directory, about, bar.update), warnings


def _finish(directory: Path, target: Path) -> None:
    if target.suffix == ".tar":
        manifest.pack(directory, target)
    else:
        directory.rename(target)
