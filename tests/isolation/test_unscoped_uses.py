"""Every place that works across clients, with its reason. A new one is added here on purpose or not at all."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("config", "chat", "knowledge", "billing", "tenants")

USES = {
    ("billing/invariants.py", "invoice numbers run over all clients"),
    ("billing/management/commands/rebuild_usage.py", "usage of all clients is rebuilt"),
    ("billing/payments/__init__.py", "events of all clients are delivered by one job"),
    ("billing/payments/__init__.py", "the provider names an event, not a client"),
    ("billing/tasks.py", "the books of all clients are kept by one job"),
    ("chat/gaps/answer.py", "answers to gaps of all clients are followed by one job"),
    ("chat/gaps/find.py", "gaps of all clients are found by one job"),
    ("chat/question_sets/runs.py", "runs of all clients are worked off by one job"),
    ("chat/retention/apply.py", "rules of all clients are applied by one job"),
    ("chat/people/takeover.py", "people of every client may have gone from their conversations"),
    ("chat/sweeper.py", "answers of every client may have lost their process"),
    ("config/backups/postgres.py", "a backup holds every client"),
    ("knowledge/callbacks.py", "callbacks of all clients are sent by one loop"),
    ("knowledge/cluster.py", "the watch looks for its own workers' last sign of life"),
    ("knowledge/documents.py", "the internal caller may name a document without its client"),
    ("knowledge/management/commands/worker_health.py", "the health check looks at every client's documents"),
    ("knowledge/pipeline/lease.py", "the workers serve every client in turn"),
    ("knowledge/pipeline/reindex.py", "reindex serves one client after the other"),
    ("knowledge/pipeline/remains.py", "remains of all clients are swept by one process"),
    ("knowledge/queue.py", "the queue's depth counts every client"),
    ("knowledge/queue.py", "this process owns the queue: what an earlier one left is taken up again"),
    ("tenants/invariants.py", "a key's digest is unique over all clients"),
    ("tenants/invariants.py", "rows of no client belong to nobody's scope"),
    ("tenants/keys.py", "the key itself says which client calls"),
    ("tenants/management/commands/list_clients.py", "the operator lists every client"),
    ("tenants/outbox.py", "e-mails about rows of all clients are sent by one loop"),
    ("tenants/staff.py", "a person's role says which scope they get"),
    ("tenants/staff.py", "support staff work across clients"),
    ("tenants/staff.py", "who logs in has no scope yet"),
    ("tenants/management/lookup.py", "the operator names a key, not its client"),
}

# SQL by hand elsewhere: what it does.
SQL_BY_HAND = {
    "billing/hourcount.py",  # counts a place in one statement; names the client, and the policy checks it
    "knowledge/pipeline/lease.py",  # whose turn it is, over all clients, and its claim
    "config/backups/postgres.py",  # whole tables, for the operator
    "config/backups/sqlite.py",
    "config/health.py",  # SELECT 1
    "tenants/erasure.py",  # empties the log of SQLite
    "tenants/invariants.py",  # the transaction's isolation
    "tenants/reports.py",  # how far the primary's log and the replica have come
    "tenants/round_trips.py",  # COMMIT
    "chat/answer_cache.py",  # a pipeline of Redis, no SQL
    "tenants/redis_cluster.py",  # likewise
    "chat/tapes/erasure.py",  # likewise
    "chat/tapes/reader.py",  # likewise
    "chat/tapes/recorder.py",  # likewise
}


def test_every_use_of_unscoped_is_listed() -> None:
    assert found("unscoped") == USES


def test_nobody_goes_round_the_managers() -> None:
    """Private doors of the ORM, and SQL by hand, are opened in the barrier's own files only."""
    own = {
        "tenants/policies.py",
        "tenants/row_security.py",
        "tenants/scoping.py",
        "tenants/statements.py",
        "tenants/checks.py",
    }
    assert {path for path, _ in found("reading")} == {"tenants/reports.py"}
    for name in (
        "_raw_delete",
        "_raw_query",
        "RawSQL",
        "InScope",
        "_entered",
        "_tell_database",
        "open_scope",
        "close_scope",
    ):
        assert {path for path, _ in found(name)} <= own, name
    for name in ("cursor", "execute", "executemany", "by_hand"):
        assert {path for path, _ in found(name)} <= own | SQL_BY_HAND, name


def found(name: str) -> set[tuple[str, str]]:
    """(file, first argument) of every call of a function or method of this name in the product."""
    calls = set()
    for path in sorted(
        path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts
    ):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and name in (
                getattr(node.func, "id", None),
                getattr(node.func, "attr", None),
            ):
                calls.add((path.relative_to(ROOT).as_posix(), _argument(node)))
    return calls


def _argument(call: ast.Call) -> str:
    return call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else ""
