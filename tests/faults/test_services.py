"""Each service fails in each of its ways while visitors ask and a document is uploaded.

Every reply comes within ten seconds and is one of the contract's (of a stream: it begins, for heartbeats follow);
without Redis it comes within three. Within thirty seconds of the fault's end answers come, the document is read and
nothing is left open, without a hand; then `check_invariants` has nothing to say. A few faults are played always, the
others with the long runs.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import psycopg
import pytest
import redis

from tests.contracts.llm_server import HANG, RESET, openai_events, status
from tests.faults.proxy import Proxy
from tests.faults.stage import LONGEST_REPLY, Stage

BRIEF = 4.0  # seconds
LONG = 15.0  # of silence: longer than any reply may take


@contextlib.contextmanager
def cut(proxy: Proxy) -> Iterator[None]:
    proxy.cut()
    try:
        yield
    finally:
        proxy.heal()


@contextlib.contextmanager
def hung(proxy: Proxy) -> Iterator[None]:
    proxy.hang()
    try:
        yield
    finally:
        proxy.heal()


@contextlib.contextmanager
def slow(proxy: Proxy, seconds: float) -> Iterator[None]:
    proxy.slow(seconds)
    try:
        yield
    finally:
        proxy.heal()


@contextlib.contextmanager
def flushed(stage: Stage) -> Iterator[None]:
    redis.Redis.from_url(os.environ["REDIS_URL"]).flushall()
    yield


@contextlib.contextmanager
def restarted(stage: Stage) -> Iterator[None]:
    """As an administrator's restart looks to clients: sessions ended by the server, then nobody there, then back."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'faults'")
    with cut(stage.database):
        yield


@contextlib.contextmanager
def losing_writes(stage: Stage) -> Iterator[None]:
    stage.store.loses_writes = True
    try:
        yield
    finally:
        stage.store.loses_writes = False


@contextlib.contextmanager
def answering(stage: Stage, *replies: object) -> Iterator[None]:
    """The provider replies so, again and again."""
    stage.provider.script(*replies)  # type: ignore[arg-type]
    try:
        yield
    finally:
        stage.provider.script(openai_events(["You have ", "60 days."]))


@dataclass
class Fault:
    begin: Callable[[Stage], AbstractContextManager[object]]
    seconds: float = BRIEF
    longest: float = LONGEST_REPLY


BEGUN = openai_events(["You have "])[:2]
FAULTS = {
    "redis down": Fault(lambda stage: cut(stage.redis), longest=3.0),
    "redis hung": Fault(lambda stage: hung(stage.redis), LONG, longest=3.0),
    "redis flushed": Fault(flushed),
    "postgresql restarted": Fault(restarted),
    "postgresql hung": Fault(lambda stage: hung(stage.database), LONG),
    "qdrant down": Fault(lambda stage: cut(stage.qdrant)),
    "qdrant hung": Fault(lambda stage: hung(stage.qdrant), LONG),
    "qdrant slow": Fault(lambda stage: slow(stage.qdrant, 0.5)),
    "qdrant losing writes": Fault(losing_writes),
    "provider down": Fault(lambda stage: cut(stage.model)),
    "provider hung": Fault(lambda stage: answering(stage, [HANG]), LONG),
    "provider refusing": Fault(lambda stage: answering(stage, status(429, retry_after=1))),
    "provider failing": Fault(lambda stage: answering(stage, status(500))),
    "provider dying in its answer": Fault(lambda stage: answering(stage, [*BEGUN, RESET])),
    "provider silent in its answer": Fault(lambda stage: answering(stage, [*BEGUN, HANG]), LONG),
    "provider talking nonsense": Fault(lambda stage: answering(stage, [b"data: nonsense\n\n"])),
}
ALWAYS = ("redis down", "postgresql restarted", "qdrant losing writes")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.soak, id=name) for name in FAULTS]
)
def test_a_service_fails(play: Stage, name: str) -> None:
    fault = FAULTS[name]
    print(f"{name}: {play.suffer(fault.begin(play), fault.seconds, longest=fault.longest)}")
