"""A worker that lives long: its memory stays flat over a thousand documents."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from knowledge import embeddings
from knowledge.documents import Upload, submit
from knowledge.parsers.sandbox import close_children
from tenants.models import Client
from tests.flows.installation import descendants
from tests.flows.product import ROOT
from tests.knowledge.files import make_csv, make_docx, make_pdf
from tests.knowledge.ingestion import work
from tests.services import free_port, wait_for_port

DOCUMENTS = 1000
SETTLED = 200  # documents after which caches are full
GROWTH = 5_000_000  # bytes that 800 documents may add


@pytest.fixture
def provider(settings: Settings) -> Iterator[None]:
    """A provider of embeddings in a process of its own, whose memory does not count."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.embedder", str(port)], cwd=ROOT)
    try:
        wait_for_port(port)
        settings.OPENAI_API_KEY, settings.EMBEDDING_MODEL = "sk-test", "text-embedding-3-small"
        settings.EMBEDDING_BASE_URL = f"http://127.0.0.1:{port}/v1"
        embeddings._embedders.clear()
        yield
    finally:
        process.kill()
        process.wait()
        embeddings._embedders.clear()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.django_db
def test_memory_is_flat_over_a_thousand_documents(own_data: Path, provider: None) -> None:
    text = " ".join(f"Sentence {n} about boots, tents and maps." for n in range(400))
    files = {
        "txt": text.encode(),
        "pdf": make_pdf([text[at : at + 60] for at in range(0, 1200, 60)]),
        "docx": make_docx([text[at : at + 500] for at in range(0, 10_000, 500)]),
        "csv": make_csv([["name", "text"], *[[str(n), text[:200]] for n in range(100)]]),
    }
    settled = 0
    for number in range(DOCUMENTS):
        if number % 100 == 0:
            client = Client.objects.create(name=f"client {number}", tier="paid")
        file_type = list(files)[number % len(files)]
        submit(client, Upload(f"doc {number}", files[file_type], file_type, f"doc.{file_type}"))
        assert work() == 1
        if number == SETTLED:
            settled = own_memory()
    grown = own_memory() - settled
    print(f"{settled / 1e6:.0f} MB after {SETTLED} documents, {grown / 1e6:+.1f} MB after {DOCUMENTS}")
    close_children()
    assert grown < GROWTH


def own_memory() -> int:
    """Bytes that this process and what it parses with hold themselves; the index's files, mapped, are not theirs."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in parsers() | {os.getpid()}]
    return sum(int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) for status in statuses) * 1024


def parsers() -> set[int]:
    below = descendants(os.getpid())
    return {pid for pid in below if b"knowledge.parsers" in Path(f"/proc/{pid}/cmdline").read_bytes()}
