"""Backup and restore on both back ends: the same cited answer afterwards, and a bad backup harms nothing."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from config.backups import manifest
from tests.contracts.qdrant_server import SmallQdrant, small_qdrant
from tests.flows.installation import Installation, installation, named
from tests.flows.product import Product, served
from tests.flows.test_services import make_client, send, wait_for
from tests.services import with_role

QUESTION = "When does the lounge open?"
LOUNGE = b"The lounge opens at half past six, and dogs are welcome there."


def cited(product: Product, key: str, question: str = QUESTION) -> tuple[str, list[dict[str, Any]]]:
    """The answer and its sources; never from the cache, for the question has a session of its own."""
    body = {"message": question, "sessionId": str(uuid.uuid4())}
    status, answer = product.json("POST", "/api/widget/chat", body, x_api_key=key)
    assert status == 200 and answer["sources"], answer
    return answer["response"], answer["sources"]


def ran(product: Product, *arguments: str) -> str:
    """A command's output; it must succeed."""
    done = product.manage(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(product: Product, *arguments: str) -> str:
    """What a command says that must fail."""
    done = product.manage(*arguments)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


# --- SQLite, everything in one process ---------------------------------------------------------------------------


def test_round_trip_of_the_embedded_product(tmp_path: Path) -> None:
    backup = str(tmp_path / "backup.tar")
    question = "How long do I have to return boots?"
    with served(tmp_path) as product:
        before = cited(product, product.widget_key, question)
        written = json.loads(ran(product, "backup", backup, "--json"))  # beside the running product
        assert written["files"] == 4 and written["warnings"] == []
        assert "stop it first" in refused(product, "restore", backup, "--force")
        key = product.widget_key
    assert Path(backup).stat().st_mode & 0o077 == 0
    shutil.rmtree(product.environment["DATA_DIR"])

    assert "Restored: 1 clients" in ran(product, "restore", backup)
    assert "add --force" in refused(product, "restore", backup)
    assert ran(product, "check_invariants") == ""
    with served(tmp_path, **product.environment) as again:
        assert cited(again, key, question) == before


# --- PostgreSQL, Redis, Qdrant, web and workers -------------------------------------------------------------------


@pytest.fixture(scope="module")
def qdrant() -> Iterator[SmallQdrant]:
    with small_qdrant() as qdrant:
        yield qdrant


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, qdrant: SmallQdrant) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("backup"), "backup", qdrant) as product:
        yield product


@contextmanager
def churn(product: Installation, client: dict) -> Iterator[None]:
    """Uploads and deletions, one after the other, as long as the block runs."""
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            send(product, client, f"churn-{number}", b"A text that comes and goes. " * 2000)
            if number > 3:
                path = f"/api/widget/documents/churn-{number - 3}?clientId={client['clientId']}"
                assert product.request("DELETE", path, X_Internal_Secret=product.secret)[0] == 204

    threads = [threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def files_named_by_rows(backup: Path) -> list[str]:
    table = json.loads((backup / "manifest.json").read_text())["tables"]["knowledge_documentversion"]
    column = table["columns"].index("file")
    with gzip.open(backup / "database" / "knowledge_documentversion.copy.gz", "rt", newline="\n") as rows:
        return [name for row in rows if (name := row.split("\t")[column])]


@pytest.mark.timeout(1800)  # on a crowded machine
def test_round_trip_on_services(product: Installation, qdrant: SmallQdrant, tmp_path: Path) -> None:
    acme, stranger = make_client(product), make_client(product)
    send(product, stranger, "theirs", b"The stranger's lounge opens at noon.")
    send(product, acme, "lounge", LOUNGE)
    wait_for(product, "lounge")
    wait_for(product, "theirs")
    before = cited(product, acme["publishableKey"])

    backup = tmp_path / "backup"
    with churn(product, acme):
        assert json.loads(ran(product, "backup", str(backup), "--json"))["warnings"] == []
    named_files = files_named_by_rows(backup)
    assert len(named_files) > 2 and all((backup / "files" / name).is_file() for name in named_files)
    assert len(named_files) == sum(path.is_file() for path in (backup / "files").rglob("*"))

    assert "stop web and worker" in refused(product, "restore", str(backup), "--force")
    assert product.stop_web() == 0 and product.stop_cluster() == 0
    assert "add --force" in refused(product, "restore", str(backup))
    spoilt_backups_harm_nothing(product, backup, tmp_path)

    with psycopg.connect(product.environment["DATABASE_OWNER_URL"], autocommit=True) as server:
        server.execute("DROP SCHEMA public CASCADE")
        server.execute("DROP SCHEMA tenancy CASCADE")
        server.execute("CREATE SCHEMA public")
    shutil.rmtree(product.environment["DATA_DIR"])
    for collection in qdrant.store.get_collections().collections:
        qdrant.store.delete_collection(collection.name)
    qdrant.collections.clear()

    assert "Restored: 2 clients" in ran(product, "restore", str(backup))
    product.start_cluster()
    product.start_web()
    assert cited(product, acme["publishableKey"]) == before
    _, theirs = cited(product, stranger["publishableKey"])
    assert {source["documentId"] for source in theirs} == {"theirs"}
    send(product, acme, "new", b"A text after the restore: ids go on where they were.")
    assert wait_for(product, "new")["status"] == "completed"
    deadline = 60
    product.wait_until("/health", lambda body: body["queueSize"] == 0, deadline)  # what the churn left half-way
    assert ran(product, "check_invariants") == ""


def spoilt_backups_harm_nothing(product: Installation, backup: Path, tmp_path: Path) -> None:
    """Each is refused with a clear sentence, before anything is touched."""
    before = state(product)
    tar = tmp_path / "whole.tar"
    shutil.make_archive(str(tmp_path / "whole"), "tar", backup)
    (tmp_path / "cut.tar").write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    (tmp_path / "no.tar").write_bytes(b"not a tar file")
    assert "damaged" in refused(product, "restore", str(tmp_path / "cut.tar"), "--force")
    with pytest.raises(manifest.BadBackup, match="no tar file"):
        manifest.unpack(tmp_path / "no.tar", tmp_path / "nothing")
    for name, spoil, says in SPOILS:
        spoilt = tmp_path / name
        shutil.copytree(backup, spoilt)
        spoil(spoilt)
        with pytest.raises(manifest.BadBackup, match=says):
            manifest.verify(spoilt, lambda done: None)
    assert "is not what it was" in refused(product, "restore", str(tmp_path / "changed"), "--force")
    assert state(product) == before
    assert "is whole" in ran(product, "restore", str(tar), "--check")


def state(product: Installation) -> Any:
    """Everything that a restore replaces."""
    rows = product.rows("SELECT id, status, file, text FROM knowledge_documentversion ORDER BY id")
    root = Path(product.environment["DATA_DIR"]) / "files"
    return rows, {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}, sorted(product.points())


def _a_file(backup: Path) -> Path:
    return next(path for path in (backup / "files").rglob("*") if path.is_file())


def _edit_manifest(backup: Path, **changes: Any) -> None:
    path = backup / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


SPOILS = [
    ("changed", lambda backup: _a_file(backup).write_bytes(b"other"), "is not what it was"),
    ("missing", lambda backup: _a_file(backup).unlink(), "is missing"),
    ("cut", lambda backup: os.truncate(backup / "database/chat_message.copy.gz", 20), "is not what it was"),
    ("tampered", lambda backup: _edit_manifest(backup, migrations=[]), "manifest.json was changed"),
    ("no-manifest", lambda backup: (backup / "manifest.json").unlink(), "this is no backup"),
]


# --- an owner that is no superuser: forced row-level security binds it, and it may not bypass it -----------------


@pytest.fixture
def modest(tmp_path: Path, qdrant: SmallQdrant) -> Iterator[Product]:
    """A database whose owner is an ordinary role, as hosted services give it out."""
    superuser, app = os.environ["DATABASE_OWNER_URL"], "modest_app"
    with psycopg.connect(superuser, autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS modest WITH (FORCE)")
        for role in ("modest_app", "modest_owner"):
            server.execute(f"DROP ROLE IF EXISTS {role}")
        server.execute("CREATE ROLE modest_owner LOGIN NOSUPERUSER NOBYPASSRLS CREATEROLE PASSWORD 'secret'")
        server.execute("CREATE DATABASE modest OWNER modest_owner")
    parts = urlsplit(named(superuser, "modest"))
    environment = {
        **os.environ,
        "DATABASE_OWNER_URL": with_role(urlunsplit(parts), "modest_owner", "secret"),
        "DATABASE_URL": with_role(urlunsplit(parts), app, "secret"),
        "DATABASE_POOL_SIZE": "10",  # as installations have it; the other tests have none
        "QDRANT_URL": qdrant.url,
        "DATA_DIR": str(tmp_path / "var"),
    }
    yield Product("", environment)
    with psycopg.connect(superuser, autocommit=True) as server:
        server.execute("DROP DATABASE modest WITH (FORCE)")
        for role in (app, "modest_owner"):
            server.execute(f"DROP ROLE {role}")


def test_roles_without_rights_over_policies_can_back_up_and_restore(modest: Product, tmp_path: Path) -> None:
    ran(modest, "migrate")
    made = [json.loads(ran(modest, "create_client", "--name", name, "--json")) for name in ("One", "Two")]
    backup = str(tmp_path / "backup")
    ran(modest, "backup", backup)
    before = ran(modest, "list_clients")
    ran(modest, "create_client", "--name", "Three")
    assert "Restored: 2 clients" in ran(modest, "restore", backup, "--force")
    assert ran(modest, "list_clients") == before and all(client["clientId"] in before for client in made)
    assert "Three" not in before and ran(modest, "check_invariants") == ""


def test_a_restore_that_fails_half_way_changes_nothing(modest: Product, tmp_path: Path) -> None:
    """The disk is full, say, after the schema was made: here a row that the database refuses."""
    ran(modest, "migrate")
    ran(modest, "create_client", "--name", "One")
    backup = tmp_path / "backup"
    ran(modest, "backup", str(backup))
    ran(modest, "create_client", "--name", "Two")
    before = ran(modest, "list_clients")
    path = backup / "database" / "tenants_client.copy.gz"
    with gzip.open(path, "rt") as rows:
        row = rows.read()
    with gzip.open(path, "wt") as rows:
        rows.write(row * 2)  # the same id twice
    seal_again(modest, backup)
    assert "all is as it was before" in refused(modest, "restore", str(backup), "--force")
    assert ran(modest, "list_clients") == before and ran(modest, "check_invariants") == ""


def seal_again(product: Product, backup: Path) -> None:
    """A manifest that agrees with the changed files, as whoever makes one on purpose would have it."""
    script = (
        "import json, pathlib, django; django.setup()\n"
        "from config.backups import manifest\n"
        f"directory = pathlib.Path({str(backup)!r}); path = directory / 'manifest.json'\n"
        "old = json.loads(path.read_text()); path.unlink()\n"
        "manifest.seal(directory, {k: old[k] for k in ('vendor', 'tables', 'migrations')}, lambda done: None)\n"
    )
    environment = {**product.environment, "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=Path(__file__).parents[2])
