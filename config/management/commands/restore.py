"""`manage.py restore`: a backup in place of what is there."""

import contextlib
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from tqdm import tqdm

from config.backups import files, manifest
from config.backups.manifest import BadBackup, Manifest
from config.management.commands.backup import back_end
from knowledge.vectors import VectorError, VectorStore, VectorStoreTaken
from tenants.models import Client
from tenants.redis_nodes import connected

OURS_IN_REDIS = ("limits:*", "answer:*", "answers:*", "tape:*", "followed:*")

OTHER_KEY = (
    "The backup was made with another SECRET_KEY: its API keys work only where that one is the SECRET_KEY, or among "
    "SECRET_KEY_FALLBACKS."
)


class Command(BaseCommand):
    help = (
        "Put a backup in place of the database and the stored files, then rebuild the vectors. Stop web and worker "
        "processes first. Every checksum is compared before anything is touched; what is there is kept until the "
        "restored rows and files are in place, and comes back if that fails. A backup of an older version is brought "
        "up to date; one of a newer version is refused. On PostgreSQL it needs DATABASE_OWNER_URL, as migrate does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", type=Path, metavar="BACKUP", help="what manage.py backup wrote")
        parser.add_argument("--force", action="store_true", help="replace the clients, users and files that are there")
        parser.add_argument("--check", action="store_true", help="compare the checksums, and do nothing else")
        parser.add_argument("--no-reindex", action="store_true", help="leave the vectors for manage.py reindex")

    def handle(self, *args: Any, source: Path, force: bool, check: bool, no_reindex: bool, **options: Any) -> None:
        try:
            with _opened(source) as directory:
                found = _verified(directory)
                if check:
                    self.stdout.write(f"{source} is whole: version {found['version']}, made {found['made']}.")
                    return
                if found["secretKey"] != manifest.fingerprint(settings.SECRET_KEY):
                    self.stderr.write(self.style.WARNING(OTHER_KEY))
                old = _clients()
                _refuse(force)
                _replace(directory, found)
        except BadBackup as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        _forget_redis()
        if not no_reindex:
            self._rebuild(old | _clients())
        self.stdout.write(self.style.SUCCESS(f"Restored: {Client.objects.count()} clients, as of {found['made']}."))

    def _rebuild(self, clients: set[uuid.UUID]) -> None:
        try:
            for client_id in clients:
                VectorStore.for_client(client_id).delete_all()
            call_command("reindex", stdout=self.stdout)
        except (VectorError, CommandError) as error:
            raise CommandError(f"Rows and files are restored, the vectors are not: {error} Run reindex.") from error


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise CommandError(f"There is no {source}.")
    with tempfile.TemporaryDirectory(prefix="restore-", dir=settings.DATA_DIR) as directory:
        manifest.unpack(source, Path(directory))
        yield Path(directory)


def _verified(directory: Path) -> Manifest:
    with tqdm(unit="B", unit_scale=True, desc="Checksums", disable=None) as bar:
        found = manifest.verify(directory, bar.update)
    if found["vendor"] != connection.vendor:
        raise BadBackup(
            f"The backup is of {found['vendor']}, the database of this installation is {connection.vendor}."
        )
    return found


def _clients() -> set[uuid.UUID]:
    """Of a database that may be empty."""
    if Client._meta.db_table not in connection.introspection.table_names():
        return set()
    return set(Client.objects.values_list("pk", flat=True))


def _refuse(force: bool) -> None:
    """CommandError while the product runs, or when something is there and `force` is off."""
    if settings.EMBEDDED:
        from knowledge.vectors import embedded

        try:
            embedded.own()
        except VectorStoreTaken as taken:
            raise CommandError(f"The product is running: stop it first. ({taken})") from taken
    if others := back_end().in_use():
        raise CommandError(f"{others} other connections to the database are open: stop web and worker processes first.")
    if not force and (files.present() or _clients() or _users()):
        raise CommandError("Something is there already. To replace it, which can't be undone, add --force.")


def _users() -> bool:
    users = get_user_model()
    return users._meta.db_table in connection.introspection.table_names() and users._default_manager.exists()


def _replace(directory: Path, found: Manifest) -> None:
    """Both or neither: rows and files."""
    stored, rows = files.Replacement(directory / "files"), back_end().Replacement(directory / "database", found)
    try:
        stored.prepare()
        rows.put_in_place()
        call_command("migrate", verbosity=0, interactive=False)
        stored.put_in_place()
    except BaseException as error:
        rows.undo()
        stored.undo()
        if isinstance(error, DatabaseError | OSError | EOFError):
            raise CommandError(f"The restore failed, and all is as it was before: {error}") from error
        raise
    rows.forget_old()
    stored.forget_old()
    ContentType.objects.clear_cache()


def _forget_redis() -> None:
    """Counts and answers of the rows that were there."""
    if settings.REDIS_URL:
        with connected(seconds=5) as redis:
            for pattern in OURS_IN_REDIS:
                for key in redis.scan_iter(pattern, count=1000):
                    redis.unlink(key)
