"""One process owns the embedded store; others on the machine reach it through the owner."""

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings

from knowledge.vectors import Point, VectorStore, VectorStoreTaken, embedded, owner

ACME, STRANGER = uuid.UUID(int=1), uuid.UUID(int=2)
NORTH = np.eye(4, dtype=np.float32)[0]
PRELUDE = """
import sys, uuid, numpy, django
django.setup()
from asgiref.sync import async_to_sync
from knowledge.vectors import Point, VectorError, VectorStore, VectorStoreTaken, embedded
ACME = uuid.UUID(int=1)
store = VectorStore.for_client(ACME)
def learn(count):
    store.upsert([Point(uuid.uuid4(), 1, f"boots {n}", numpy.eye(4, dtype="float32")[:1]) for n in range(count)])
"""


@pytest.fixture(autouse=True)
def directory(settings: Any, tmp_path: Path) -> Iterator[Path]:
    settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS = "four", 4
    settings.DATA_DIR = tmp_path
    embedded.release()
    yield tmp_path
    embedded.release()


def other_process(code: str, directory: Path, **environment: str) -> subprocess.Popen[str]:
    known = {
        "DATA_DIR": str(directory),
        "EMBEDDING_MODEL": "four",
        "EMBEDDING_DIMENSIONS": "4",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": django_settings.SECRET_KEY,
    }
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        env=os.environ | known | environment,
        cwd=django_settings.BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out.strip()


def points(count: int) -> list[Point]:
    return [Point(uuid.uuid4(), 1, f"boots {n}", NORTH[None]) for n in range(count)]


def test_a_command_beside_the_server_reads_and_writes_through_it(directory: Path) -> None:
    embedded.own()
    VectorStore.for_client(ACME).upsert(points(2))
    VectorStore.for_client(STRANGER).upsert(points(5))
    command = other_process(
        """
        learn(3)
        found = async_to_sync(store.search)(numpy.eye(4, dtype="float32")[0], "boots", 10)
        print(store.count(), len(store.ids()), len(found), round(found[0].dense, 3))
        """,
        directory,
    )
    assert said(command) == "5 5 5 1.0"
    assert VectorStore.for_client(ACME).count() == 5


def test_an_error_of_the_store_reaches_the_command(directory: Path) -> None:
    embedded.own()
    command = other_process(
        """
        try:
            store.upsert([Point(uuid.uuid4(), 1, "boots", numpy.ones((1, 5), "float32"))])
        except VectorError as error:
            print(error)
        """,
        directory,
    )
    assert "dimension" in said(command)


def test_a_second_web_process_is_told_who_has_the_store_and_what_to_do(directory: Path) -> None:
    embedded.own()
    second = other_process("try: embedded.own()\nexcept VectorStoreTaken as taken: print(taken)", directory)
    message = said(second)
    assert f"process {os.getpid()}" in message
    assert "QDRANT_URL" in message


def test_the_web_process_is_refused_while_a_command_has_the_store(directory: Path) -> None:
    command = other_process("learn(1); print('ready', flush=True); sys.stdin.read()", directory)
    assert command.stdout is not None and command.stdout.readline() == "ready\n"
    with pytest.raises(VectorStoreTaken, match=f"process {command.pid}"):
        embedded.own()
    said(command)
    embedded.own()
    assert VectorStore.for_client(ACME).count() == 1


def test_after_the_owners_sudden_death_another_takes_over_and_nothing_is_lost(directory: Path) -> None:
    owning = other_process("learn(300); print('ready', flush=True); sys.stdin.read()", directory)
    assert owning.stdout is not None and owning.stdout.readline() == "ready\n"
    store = VectorStore.for_client(ACME)
    store.upsert(points(7))
    assert embedded._lock is None  # it went through the owner
    owning.send_signal(signal.SIGKILL)
    owning.wait(10)
    assert store.count() == 307
    assert len(async_to_sync(store.search)(NORTH, "boots", 10)) >= 10
    assert embedded._lock is not None


def test_a_process_with_another_secret_gets_no_answer(directory: Path) -> None:
    embedded.own()
    intruder = other_process(
        "try: store.count()\nexcept VectorError as error: print(error)", directory, SECRET_KEY="x" * 60
    )
    assert "does not answer" in said(intruder)
    assert VectorStore.for_client(ACME).count() == 0


def test_only_the_stores_own_calls_are_answered() -> None:
    assert owner._call(object(), "__class__", ()) == (False, "there is no call '__class__'")


def test_a_data_directory_with_a_long_name_works(settings: Any, directory: Path) -> None:
    settings.DATA_DIR = directory / ("d" * 120)
    embedded.own()
    command = other_process("learn(1); print(store.count())", settings.DATA_DIR)
    assert said(command) == "1"


def test_what_was_half_made_is_made_anew(directory: Path) -> None:
    (directory / "vectors" / "four@4.unfinished" / "segments").mkdir(parents=True)
    store = VectorStore.for_client(ACME)
    store.upsert(points(1))
    assert store.count() == 1
