"""The product on PostgreSQL, Redis, a Qdrant over REST and a real Django-Q2 cluster, which is killed a lot."""

import base64
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.contracts.embedding_server import Provider, embedding_provider
from tests.contracts.qdrant_server import small_qdrant
from tests.contracts.receiver import Receiver, receiver
from tests.crowd import crowd
from tests.flows.installation import Installation, installation, kill
from tests.flows.product import events
from tests.knowledge.files import make_pdf

FINAL = ("completed", "failed")
WORKERS = 2
RECOVERED = 60  # seconds after a restart
PLAN_DOCUMENTS = 100  # of a paid client


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """On the local embedding model and the offline answerer."""
    with small_qdrant() as qdrant, receiver() as express:
        settings = {"EXPRESS_CALLBACK_URL": express.url, "EGRESS_ALLOWED_PRIVATE": "127.0.0.1/32"}
        with installation(tmp_path_factory.mktemp("flow"), "flow", qdrant, **settings) as product:
            product.express = express  # type: ignore[attr-defined]
            yield product


@pytest.fixture(scope="module")
def client(product: Installation) -> dict:
    return make_client(product)


def make_client(product: Installation) -> dict:
    made = product.manage("create_client", "--name", "Acme", "--tier", "paid", "--json")
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def send(product: Installation, client: dict, name: str, data: bytes, file_type: str = "txt") -> None:
    upload = {
        "documentId": name,
        "clientId": client["clientId"],
        "fileType": file_type,
        "originalName": f"{name}.{file_type}",
        "fileData": base64.b64encode(data).decode(),
    }
    status, body = product.json("POST", "/api/widget/process-document", upload, X_Internal_Secret=product.secret)
    assert (status, body["documentId"]) == (202, name), body


def wait_for(product: Installation, name: str, seconds: float = RECOVERED) -> dict:
    return product.wait_until(
        f"/api/widget/documents/{name}/status",
        lambda body: body["status"] in FINAL,
        seconds,
        X_Internal_Secret=product.secret,
    )


def test_from_upload_to_a_cited_streamed_answer(product: Installation, client: dict) -> None:
    send(product, client, "lounge", make_pdf(["The lounge opens at half past six, and dogs are welcome there."]), "pdf")
    done = wait_for(product, "lounge")
    assert (done["status"], done["progress"], done["errorMessage"]) == ("completed", 100, None)
    question = {"message": "When does the lounge open?"}
    key = client["publishableKey"]
    status, headers, stream = product.request("POST", "/api/widget/chat/stream", question, x_api_key=key)
    found = events(stream)
    assert (status, headers["content-type"]) == (200, "text/event-stream"), stream
    assert "half past six" in "".join(data for name, data in found if name == "chunk")
    (sources,) = [json.loads(data) for name, data in found if name == "sources"]
    assert [(s["documentId"], s["page"]) for s in sources] == [("lounge", 1)]
    assert found[-1] == ("done", "[DONE]")


def test_express_is_told_by_the_cluster(product: Installation, client: dict) -> None:
    express: Receiver = product.express  # type: ignore[attr-defined]
    send(product, client, "told", b"Some text to tell about.")
    done = wait_for(product, "told")
    deadline = time.monotonic() + 20
    while not (told := express.of("told")) or told[-1][0] != "completed":
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    stages = [status for status, _ in groupby(status for status, _ in told)]  # a slow one tells its progress, too
    assert stages == ["pending", "parsing", "chunking", "embedding", "storing", "completed"]
    assert [r.body for r in express.received if r.body["documentId"] == "told"][-1] == done


def test_a_deletion_reaches_the_store(product: Installation, client: dict) -> None:
    send(product, client, "gone", b"A text that will be deleted.")
    points = wait_for(product, "gone")["qdrantPointIds"]
    assert points and set(points) <= set(product.points())
    headers = {"X_Internal_Secret": product.secret}
    assert product.request("DELETE", "/api/widget/documents/gone", **headers)[0] == 204
    assert not set(points) & set(product.points())


def test_commands_beside_the_cluster(product: Installation, client: dict) -> None:
    assert product.manage("worker_health").stdout.strip() == "ok"
    rebuilt = product.manage("reindex", "--client", client["clientId"])
    assert "rebuilt" in rebuilt.stdout, rebuilt.stderr
    checked = product.manage("check_index")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_second_cluster_on_the_embedded_store_says_why_not(product: Installation) -> None:
    without = Installation(product.url, {**product.environment, "QDRANT_URL": ""})
    result = without.manage("qcluster")
    assert result.returncode != 0 and "QDRANT_URL" in result.stderr


def test_sigterm_lets_running_work_end(product: Installation, client: dict) -> None:
    text = " ".join(f"Sentence number {n} about boots and tents." for n in range(1500))
    send(product, client, "long", text.encode())
    while product.rows("SELECT 1 FROM knowledge_documentversion WHERE lease IS NOT NULL") == []:
        time.sleep(0.02)
    assert product.stop_cluster() == 0
    assert product.rows("SELECT attempts, status FROM knowledge_documentversion ORDER BY id DESC LIMIT 1") == [
        (1, "completed")
    ]
    product.start_cluster()


# --- kill -9 --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with embedding_provider() as provider:
        provider.delay = 0.3
        yield provider


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Installation]:
    """On a provider that takes its time, so that there is a moment to be killed in."""
    settings = {
        "OPENAI_API_KEY": "sk-test",
        "EMBEDDING_MODEL": "test-embedding",
        "EMBEDDING_DIMENSIONS": "8",
        "EMBEDDING_BASE_URL": provider.url,
        "INGEST_LEASE_SECONDS": "3",
        "INGEST_RETRY_SECONDS": "0.5",
        "WORKERS": str(WORKERS),
    }
    with (
        small_qdrant() as qdrant,
        installation(tmp_path_factory.mktemp("kills"), "kills", qdrant, **settings) as victim,
    ):
        victim.wait_for_workers(WORKERS)
        yield victim


def test_killed_idle_workers_do_not_stop_the_cluster_for_good(victim: Installation) -> None:
    """One of them dies holding the lock of the queue, which wedges a stock cluster for ever."""
    client = make_client(victim)
    time.sleep(1)
    for pid in victim.processes()[3:]:
        if b"parsers" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            kill(pid)
            break
    for pid in victim.processes()[3:5]:
        kill(pid)
    started = time.monotonic()
    send(victim, client, "after", b"A text after the idle workers were killed.")
    assert wait_for(victim, "after")["status"] == "completed", victim.log()
    print(f"idle workers killed: the next document was done after {time.monotonic() - started:.1f} s")


@pytest.mark.timeout(600)
def test_ten_kills(victim: Installation) -> None:
    survive(victim, 10, random.Random(20))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_kills(victim: Installation) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    survive(victim, 100, random.Random(seed))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_second_host_takes_its_share_and_the_first_takes_over_when_it_is_lost(victim: Installation) -> None:
    """More worker hosts are the same command once more, and nothing else."""
    victim.wait_for_workers(WORKERS)
    beside = Installation(victim.url, victim.environment)
    beside.start_cluster()
    try:
        beside.wait_for_workers(WORKERS)
        client, names = make_client(victim), [f"shared-{number}" for number in range(30)]
        for name in names:
            send(victim, client, name, text_of(name))
        finished = (
            "SELECT split_part(worker, '/', 1), max(attempts) FROM knowledge_documentversion"
            f" WHERE status = 'completed' AND client_id = '{client['clientId']}' GROUP BY 1"
        )
        deadline = time.monotonic() + 2 * RECOVERED
        while len(victim.rows(finished)) < 2:
            assert time.monotonic() < deadline, victim.log()
            time.sleep(0.05)
    finally:
        beside.kill_cluster()
    states = {name: wait_for(victim, name, 5 * RECOVERED)["status"] for name in names}
    assert states == dict.fromkeys(names, "completed")
    by_cluster = dict(victim.rows(finished))
    assert len(by_cluster) == 2 and max(by_cluster.values()) <= 2
    assert_nothing_doubled(victim)


def survive(victim: Installation, kills: int, chance: random.Random) -> None:
    """Kill while documents are under way; in the end nothing is lost, doubled or half there.

    A document that was cut short twice is allowed to end before the next kill: three times is a failure by right.
    """
    names = [f"doc-{kills}-{number}" for number in range(kills * 2)]
    clients = [make_client(victim) for _ in range(0, len(names), PLAN_DOCUMENTS)]
    for number, name in enumerate(names):
        send(victim, clients[number % len(clients)], name, text_of(name))
    slowest = 0.0
    for _ in range(kills):
        slowest = max(slowest, wait_for_a_moment_to_kill(victim))
        time.sleep(chance.uniform(0, 1.0))
        kill_something(victim, chance)
    killed, slower = time.monotonic(), crowd()
    states = {name: wait_for(victim, name, RECOVERED * max(slower, crowd())) for name in names}
    took, slower = time.monotonic() - killed, max(slower, crowd())
    print(
        f"{kills} kills; all done {took:.1f} s after the last, slowest turn {slowest:.1f} s"
        f" (the machine {slower:.1f} times slower than idle)"
    )
    assert took < RECOVERED * slower
    assert {name: (s["status"], s["errorMessage"]) for name, s in states.items()} == dict.fromkeys(
        names, ("completed", None)
    )
    for name, state in states.items():
        assert state["chunksTotal"] == state["chunksProcessed"] == len(state["qdrantPointIds"]) > 1, name
    assert_nothing_doubled(victim)


def text_of(name: str) -> bytes:
    return "\n\n".join(f"{name}, paragraph {n}. " + "Boots and tents. " * 150 for n in range(6)).encode()


def wait_for_a_moment_to_kill(victim: Installation) -> float:
    """Until something is under way and nothing has been cut short twice; the seconds that took."""
    close = "SELECT 1 FROM knowledge_documentversion WHERE attempts > 1 AND status NOT IN ('completed', 'failed')"
    running = "SELECT 1 FROM knowledge_documentversion WHERE lease IS NOT NULL AND heartbeat > now() - interval '1 s'"
    waiting = "SELECT 1 FROM knowledge_documentversion WHERE status NOT IN ('completed', 'failed')"
    started = time.monotonic()
    while victim.rows(close) or (victim.rows(waiting) and not victim.rows(running)):
        assert time.monotonic() - started < RECOVERED, victim.log()
        time.sleep(0.1)
    return time.monotonic() - started


def kill_something(victim: Installation, chance: random.Random) -> None:
    """Any one process below the watch, or in one of four cases everything, which is then started again."""
    if chance.random() < 0.25:
        victim.kill_cluster()
        victim.start_cluster()
        return
    if below := victim.processes()[1:]:
        kill(chance.choice(below))


def assert_nothing_doubled(victim: Installation) -> None:
    chunks = [str(pk) for (pk,) in victim.rows("SELECT id FROM knowledge_chunk")]
    answering = victim.rows("SELECT c.id FROM knowledge_chunk c JOIN knowledge_document d ON d.live_id = c.version_id")
    assert sorted(victim.points()) == sorted(chunks) == sorted(str(pk) for (pk,) in answering)


def test_the_cluster_ends_with_its_watch(victim: Installation) -> None:
    victim.wait_for_workers(WORKERS)
    watch, *below = victim.processes()
    os.kill(watch, signal.SIGKILL)
    victim.cluster.wait()
    deadline = time.monotonic() + 90
    while any(_runs(pid) for pid in below):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    """Is there such a process, and is it more than a zombie that nobody has buried yet?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
