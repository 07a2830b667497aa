"""A SQLite database, copied with its own backup interface while others write, and put back."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from django.db import connection

from config.backups.manifest import BadBackup, Manifest

NAME = "db.sqlite3"
LEFT_OUT = ("django_session", "django_q_ormq", "django_q_task")


class Snapshot:
    """One moment of the database: a copy."""

    def __init__(self, path: Path):
        self._path = path

    def files(self) -> dict[str, str]:
        """Stored files that rows name, with their digests."""
        with closing(sqlite3.connect(self._path)) as copy:
            return dict(copy.execute("SELECT file, sha256 FROM knowledge_documentversion WHERE file <> ''"))

    def write(self, directory: Path) -> Manifest:
        """The copy is there already; what the manifest has to say of it."""
        with closing(sqlite3.connect(self._path)) as copy:
            for table in LEFT_OUT:
                copy.execute(f"DELETE FROM {table}")
            copy.commit()
            copy.execute("PRAGMA journal_mode=DELETE")
            applied = copy.execute("SELECT app, name FROM django_migrations ORDER BY app, name").fetchall()
        return {"vendor": "sqlite", "migrations": [list(migration) for migration in applied]}


@contextmanager
def snapshot(directory: Path) -> Iterator[Snapshot]:
    """Rows as they are now."""
    directory.mkdir(exist_ok=True)
    path = directory / NAME
    path.unlink(missing_ok=True)
    connection.ensure_connection()
    with closing(sqlite3.connect(path)) as copy:
        connection.connection.backup(copy)
    yield Snapshot(path)


class Replacement:
    """The database of a backup in place of the present one, which waits beside it until all is well."""

    def __init__(self, directory: Path, manifest: Manifest):
        self._source = directory / NAME
        self._path = Path(str(connection.settings_dict["NAME"]))
        self._old = self._path.with_name(f"{self._path.name}.before-restore")

    def put_in_place(self) -> None:
        fresh = self._path.with_name(f"{self._path.name}.restored")
        shutil.copyfile(self._source, fresh)
        with closing(sqlite3.connect(fresh)) as copy:
            if copy.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise BadBackup("The backup is damaged: its database is not sound.")
        if self._path.exists():
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            self._path.replace(self._old)
        self._remove_logs()
        fresh.replace(self._path)

    def forget_old(self) -> None:
        self._old.unlink(missing_ok=True)

    def undo(self) -> None:
        """The present rows as they were."""
        connection.close()
        if self._old.exists():
            self._remove_logs()
            self._old.replace(self._path)

    def _remove_logs(self) -> None:
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def in_use() -> int:
    """Nobody tells on SQLite; who owns the vector store is asked instead."""
    return 0
