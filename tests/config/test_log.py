"""No line at INFO or above quotes what people write, whichever library wrote the line."""

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from chat.llms import LlmError
from config import log
from tenants.errors import ApiError, cause_of
from tenants.jobs import JobFailed, job

CANARY = "kanarienvogel"


@pytest.fixture
def lines() -> Iterator[Any]:
    """What is written while the product's own configuration is in force at INFO."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    log.configure({"level": "INFO", "json": True})
    stream = io.StringIO()
    root.handlers[-1].setStream(stream)  # type: ignore[attr-defined]
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = before


def raise_chain() -> None:
    try:
        {}[CANARY]
    except KeyError as error:
        raise ValueError(f"bad {CANARY}") from error


def test_a_traceback_says_where_but_quotes_nothing(lines: Any) -> None:
    try:
        raise_chain()
    except ValueError as error:
        structlog.get_logger("chat").error("unforeseen error", exc_info=error)
        logging.getLogger("other").exception("it said: %s", error)
        logging.getLogger("other").error(error)
    own, other, bare = lines()
    assert "raise_chain" in own["exception"] and "KeyError\nthen:\n" in own["exception"]
    assert own["exception"].endswith("ValueError from KeyError")
    assert other["event"] == "it said: ValueError from KeyError" and "raise_chain" in other["exception"]
    assert bare["event"] == "ValueError from KeyError"
    assert CANARY not in json.dumps([own, other, bare])


@pytest.mark.parametrize(
    ("name", "message", "arguments", "expected"),
    [
        ("daphne.http_protocol", f"Traceback (last call):\n{CANARY}", (), "Traceback (last call):"),
        ("daphne.server", "Exception inside: %s", (ValueError(CANARY),), "Exception inside: ValueError"),
        ("django.security.DisallowedHost", "Invalid HTTP_HOST header: %r.", (CANARY,), "Invalid HTTP_HOST header: %r."),
        ("asyncio", f"Task exception\nfuture: <Task exception={CANARY}>", (), "Task exception"),
        ("anything", "a key: %s", ("pk_live_" + CANARY,), "a key: [key]"),
        ("anything", "Authorization: Bearer " + CANARY, (), "Authorization: Bearer [key]"),
    ],
)  # fmt: skip
def test_lines_of_libraries(lines: Any, name: str, message: str, arguments: tuple, expected: str) -> None:
    logging.getLogger(name).error(message, *arguments)
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == (expected, "error", name)


def test_a_thread_that_dies_is_told_in_the_same_way(lines: Any) -> None:
    import threading

    thread = threading.Thread(target=raise_chain)
    thread.start()
    thread.join()
    (line,) = lines()
    assert line["event"] == "uncaught exception" and CANARY not in json.dumps(line)


def test_a_job_has_its_own_trace_id_and_a_failure_without_words(lines: Any) -> None:
    @job
    def fails() -> None:
        raise_chain()

    with pytest.raises(JobFailed, match=r"^ValueError from KeyError$"):
        fails()
    (line,) = lines()
    assert (line["job"], line["caller"]) == ("fails", "worker") and len(line["trace_id"]) == 36
    assert CANARY not in json.dumps(line)


def test_codes_are_told_and_words_are_not() -> None:
    assert cause_of(ApiError("TIMEOUT", CANARY)) == "ApiError status=504 code=TIMEOUT"
    assert cause_of(LlmError(detail=CANARY)) == "LlmError code=LLM_ERROR"
    assert cause_of(OSError(111, CANARY)) == "ConnectionRefusedError errno=111"
