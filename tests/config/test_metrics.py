"""What Prometheus is told is what happened, to those who may know, and the dashboard asks for what there is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from asgiref.testing import ApplicationCommunicator
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from config import metrics
from tenants.errors import STATUS_OF
from tenants.metrics import REGISTRY
from tenants.models import Client
from tests.config.figures import figures, gained
from tests.knowledge.ingestion import upload, work

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "config" / "deploy"
# Every label, and all the values that it can have; a number says how many, where settings or code bound them.
LABELS = {
    "door": {"rest", "sse", "resume", "websocket"},
    "tier": {"free", "paid", "unknown"},
    "outcome": {"answered", "refused", "greeted", "cancelled", "failed", "running", "repeated", "followed", *STATUS_OF},
    "source": {"model", "cache", "fixed"},
    "model": None,  # the registry's, the tiers' two, and "other"
    "kind": {"prompt", "completion", "cache_read", "cache_write", "question", "passage"},
    "result": {"hit", "miss", "delivered", "failed", "given_up"},
    "part": {"embed", "index", "rows"},
    "stage": {"parse", "chunk", "embed", "store"},
    "file_type": {"pdf", "docx", "txt", "csv"},
    "end": {"completed", "failed", "postponed", "overtaken"},
    "limit": {"hour", "visitor", "answers", "budget", "unreachable"},
    "database": {"primary", "replica"},
    "le": None,
}


@pytest.mark.django_db(transaction=True)
def test_stages_and_ends_of_documents_and_what_waits(own_data: Path, acme: Client, stranger: Client) -> None:
    before = figures()
    upload(acme, "Boots can be returned.")
    upload(stranger, " \n ")
    waiting = generate_latest(metrics.REGISTERED).decode()
    assert "support_chat_documents_unfinished 2.0" in waiting
    assert float(re.search(r"oldest_waiting_seconds (\d\S*)", waiting)[1]) > 0
    work()
    found = gained(before)
    assert found["support_chat_ingest_attempts_total", "completed", "txt"] == 1
    assert found["support_chat_ingest_attempts_total", "failed", "txt"] == 1
    assert [found["support_chat_ingest_stage_seconds_count", stage] for stage in ("parse", "chunk", "embed", "store")]
    assert "support_chat_documents_unfinished 0.0" in generate_latest(metrics.REGISTERED).decode()


def test_no_label_is_unbounded() -> None:
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name.startswith("support_chat"):
                for label, value in sample.labels.items():
                    assert LABELS[label] is None or value in LABELS[label], sample
    declared = {
        label
        for metric in set(REGISTRY._names_to_collectors.values())
        for label in getattr(metric, "_labelnames", ())
        if str(getattr(metric, "_name", "")).startswith("support_chat")
    }
    assert declared <= set(LABELS)


# --- who may read ------------------------------------------------------------------------------------------------


async def read(**headers: str) -> tuple[int, bytes]:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    communicator = ApplicationCommunicator(metrics.page, scope)
    start = await communicator.receive_output(10)
    return start["status"], (await communicator.receive_output(10))["body"]


@pytest.mark.parametrize(
    ("production", "token", "sent", "expected"),
    [
        (False, "", None, 200),
        (True, "", None, 404),
        (True, "", "Bearer ", 404),
        (True, "secret", None, 401),
        (True, "secret", "Bearer wrong", 401),
        (True, "secret", "Bearer secret", 200),
        (False, "secret", None, 401),
    ],
)
@pytest.mark.django_db(transaction=True)
async def test_the_page_is_closed_in_production_but_for_the_token(
    settings: Settings, production: bool, token: str, sent: str | None, expected: int
) -> None:
    settings.PRODUCTION, settings.METRICS_TOKEN = production, token
    code, body = await read(**({"authorization": sent} if sent else {}))
    assert code == expected
    assert (b"support_chat_requests" in body) is (code == 200)


@pytest.mark.django_db(transaction=True)
async def test_a_scrape_goes_without_what_the_database_does_not_tell(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang() -> list[float]:
        raise OSError("away")

    monkeypatch.setattr(metrics, "_waiting", hang)
    code, body = await read()
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert code == 200 and "support_chat_requests" in names and not names & set(metrics.WAITING)


# --- the processes of a cluster ----------------------------------------------------------------------------------

COUNT = """
import os
from tenants.metrics import Counter, take_slot
counter = Counter("slots", "text", ["who"])
counter.labels("parent").inc()
for number in range(20):
    pid = os.fork()
    if pid == 0:
        counter.labels("child").inc()
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def test_short_lived_processes_lose_no_count_and_leave_no_heap_of_files(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COUNT], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert 'slots_total{who="child"} 20.0' in done.stdout, done.stderr
    assert 'slots_total{who="parent"} 1.0' in done.stdout
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["counter_0.db", "counter_1.db"]


# --- what is asked of them ---------------------------------------------------------------------------------------


def queries() -> dict[str, str]:
    """Every query of the alert rules and of the dashboard, by where it stands."""
    found = {}
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"] and rule["labels"]["severity"] in ("warning", "critical")
            found[f"alert {rule['alert']}"] = rule["expr"]
    for panel in json.loads((DEPLOY / "grafana" / "support-chat.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            place = f"panel {panel['title']} {target['refId']}"
            found[place] = target["expr"].replace("$__rate_interval", "5m")
    return found


def selectors(expression: Any) -> list[Any]:
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(expression, visit)
    return found


def known() -> dict[str, set[str]]:
    """Names of series with their labels."""
    series: dict[str, set[str]] = {"up": set()}
    for name, metric in REGISTRY._names_to_collectors.items():
        series[name] = set(getattr(metric, "_labelnames", ())) | ({"le"} if name.endswith("_bucket") else set())
    return series


@pytest.mark.parametrize("place", sorted(queries()))
def test_every_query_is_promql_and_asks_for_what_exists(place: str) -> None:
    series = known()
    found = selectors(promql_parser.parse(queries()[place]))
    assert found
    for selector in found:
        assert selector.name in series, selector
        for matcher in selector.matchers.matchers:
            assert matcher.name in series[selector.name] | {"job", "instance"}
            allowed = LABELS.get(matcher.name)
            if allowed:
                assert set(matcher.value.split("|")) <= allowed
