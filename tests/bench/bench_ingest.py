"""Ingestion of a mixed corpus against its bare parts (parse, chunk, embed, store) in the same run.

The bare parts store what the product stores (the parsed text, the chunks' rows, the points), each by the same one
call; what the product adds is the queue, leases, states, the books, and the switch of versions. Parsing is in a child
process for both. Wall time is that of the machine's other work too, so the CPU time is told beside it.

The embedding server answers at once, rows are in PostgreSQL, vectors in the embedded store. Goals: at most 1.15
times the bare parts, 1.5 ms of CPU a chunk of text, 60 ms a PDF of 16 pages.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tests import services

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3


def main() -> None:
    """Start what is needed and measure in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        port = services.free_port()
        embedder = subprocess.Popen([sys.executable, "-m", "tests.bench.embedder", str(port)], cwd=ROOT)
        try:
            with services.postgres(directory / "postgres") as url:
                services.wait_for_port(port)
                environment = {
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "config.settings",
                    "DATABASE_URL": url,
                    "DATA_DIR": str(directory / "data"),
                    "ENV_FILE": str(directory / ".env"),
                    "LOG_LEVEL": "ERROR",
                    "OPENAI_API_KEY": "sk-bench",
                    "EMBEDDING_MODEL": "text-embedding-3-small",
                    "EMBEDDING_BASE_URL": f"http://127.0.0.1:{port}/v1",
                }
                for service in ("REDIS_URL", "QDRANT_URL", "DATABASE_OWNER_URL", "EXPRESS_CALLBACK_URL"):
                    environment.pop(service, None)
                command = [sys.executable, "-m", "tests.bench.bench_ingest"]
                subprocess.run(command, cwd=ROOT, env=environment, check=True)
        finally:
            embedder.kill()
            embedder.wait()


def corpus() -> dict[str, list[bytes]]:
    """Documents by type: 20 PDFs of 16 pages, texts of 10 and 100 kB, Word files, tables."""
    from tests.knowledge.files import make_csv, make_docx, make_pdf, make_txt

    def prose(seed: int, sentences: int) -> str:
        words = ["boots", "tents", "jackets", "stoves", "maps", "ropes", "lamps", "snow", "rain", "summit", "river"]
        lines = (" ".join(words[(seed + n * k) % 11] for k in range(1, 13)).capitalize() for n in range(sentences))
        return ". ".join(lines) + "."

    def page(seed: int) -> str:
        return "\n".join(prose(seed * 40 + line, 1) for line in range(40))

    texts = ["\n\n".join(prose(n * 100 + p, 8) for p in range(size)) for n, size in enumerate([15, 150] * 10)]
    tables = [[["name", "price", "text"], *[[f"boot {r}", r, prose(n + r, 2)] for r in range(200)]] for n in range(8)]
    return {
        "pdf": [make_pdf([page(16 * n + p) for p in range(16)]) for n in range(20)],
        "txt": [make_txt(text) for text in texts],
        "docx": [make_docx([prose(n * 50 + p, 8) for p in range(50)]) for n in range(8)],
        "csv": [make_csv(table) for table in tables],
    }


def measure() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from knowledge.documents import Upload, submit
    from knowledge.models import DocumentVersion
    from knowledge.pipeline.ingest import ingest_next
    from tenants.models import Client
    from tenants.scoping import client_scope

    call_command("migrate", verbosity=0)
    totals = [0.0, 0.0, 0.0, 0.0]
    for file_type, files in corpus().items():
        spent = Spent()
        for turn in range(ROUNDS):
            bare_client, client = (Client.objects.create(name=name, tier="paid") for name in ("bare", "product"))
            for number, data in enumerate(files):
                path = Path(os.environ["DATA_DIR"]) / "bare"
                path.write_bytes(data + b"\n" * turn)
                name = f"{file_type} {number}"
                upload = Upload(name, data + b"\n" * turn, file_type, f"{name}.{file_type}")
                warm = turn > 0  # the first round starts the parser and fills caches
                version = submit(bare_client, replace(upload, document_id=f"bare {name}"))
                with client_scope(bare_client.pk):
                    DocumentVersion.objects.filter(pk=version.pk).update(status="failed")
                submit(client, upload)
                acts = [
                    partial(spent.bare, partial(bare, version, path), warm),
                    partial(spent.product, lambda: int(not ingest_next()), warm),
                ]
                for act in acts if (number + turn) % 2 else reversed(acts):  # whoever is second finds caches warm
                    act()
        spent.report(file_type, len(files) * (ROUNDS - 1))
        totals = [total + more for total, more in zip(totals, spent.wall + spent.cpu, strict=True)]
    print(
        f"all: ingestion takes {totals[1] / totals[0]:.2f} times its bare parts (goal 1.15), "
        f"{totals[3] / totals[2]:.2f} times their CPU"
    )


def bare(version: Any, path: Path) -> int:
    """The parts by themselves; returns the number of chunks."""
    from knowledge.chunking import chunk
    from knowledge.embeddings import get_embedder
    from knowledge.models import Chunk, DocumentVersion
    from knowledge.parsers import parse
    from knowledge.pipeline.ingest import _row
    from knowledge.vectors import Point, VectorStore
    from tenants import statements
    from tenants.scoping import client_scope

    parsed = parse(path, version.file_type)
    rows = [_row(version, span) for span in chunk(parsed)]
    with client_scope(version.client_id):
        statements.update(DocumentVersion, {"text": parsed.text}, id=version.pk)
        statements.insert_many(Chunk, rows)
    store = VectorStore.for_client(version.client_id)
    vectors, _ = get_embedder(store.model, version.client_id).embed_passages([row["text"] for row in rows])
    store.upsert([Point(r["id"], version.pk, r["text"], vector) for r, vector in zip(rows, vectors, strict=True)])
    return len(rows)


class Spent:
    """Seconds and CPU seconds (with those of the parsing child) of the bare parts and of the product."""

    def __init__(self) -> None:
        self.wall, self.cpu, self.chunks = [0.0, 0.0], [0.0, 0.0], 0

    def bare(self, act: Callable[[], int], counts: bool) -> None:
        self.chunks += self._spend(0, act, counts)

    def product(self, act: Callable[[], int], counts: bool) -> None:
        self._spend(1, act, counts)

    def _spend(self, index: int, act: Callable[[], int], counts: bool) -> int:
        cpu, started = tree_cpu(os.getpid()), time.perf_counter()
        chunks = act()
        wall = time.perf_counter() - started
        if not counts:
            return 0
        self.wall[index] += wall
        self.cpu[index] += tree_cpu(os.getpid()) - cpu
        return chunks

    def report(self, name: str, documents: int) -> None:
        print(
            f"{name}: {self.wall[1] / documents * 1000:.1f} ms a document, bare {self.wall[0] / documents * 1000:.1f} "
            f"({self.wall[1] / self.wall[0]:.2f} times); CPU {self.cpu[1] / documents * 1000:.1f} ms a document, bare "
            f"{self.cpu[0] / documents * 1000:.1f}; {self.cpu[1] / self.chunks * 1000:.2f} ms a chunk, bare "
            f"{self.cpu[0] / self.chunks * 1000:.2f}",
            flush=True,
        )


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process and of all below it, ended ones included (Linux): only these in hundredths."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_clock(pid) + ended + sum(tree_cpu(int(child)) for child in children)


def cpu_clock(pid: int) -> float:
    """CPU seconds of a process's threads, to the nanosecond: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~pid << 3) | 2)


if __name__ == "__main__":
    measure()
