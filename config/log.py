"""Structured logs: one JSON object a line, or coloured text on a terminal.

At INFO and above a line never holds a key, a question, an answer, a prompt or a document's text, whoever writes it.
Our own lines are constant words with ids and numbers. Of others' lines only the first stands, without what an
exception says; a traceback shows where it happened and the classes of its errors, and their words at DEBUG only:
libraries quote what they choke on. Anything that still looks like a key is struck out at the end.
"""

import logging.config
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import structlog

from tenants.errors import cause_of

LONGEST = 300  # characters of a line that is not ours
KEY = re.compile(r"\b(?:[ps]k_(?:live|test)_\w+|sk-[\w-]{12,})|(?<=Bearer )[^\s\"'\\]+")
# At INFO they would write a line for each request; or, some of them, at DEBUG everything that is sent.
QUIET = ("aiohttp", "anthropic", "asyncio", "daphne", "httpcore", "httpx", "httpx2", "openai", "qdrant_client")


def configure(options: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG hook; `options` is settings.LOGGING: `level`, and `json` where it must be JSON."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty() and not options["json"]
    final: Any = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "use_get_message": False,
                    "pass_foreign_args": True,
                    "foreign_pre_chain": [first_line, *shared],
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.ExceptionRenderer(_traceback),
                        final,
                        _without_keys,
                    ],
                }
            },
            "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["console"], "level": options["level"]},
            "loggers": {name: {"level": "WARNING"} for name in QUIET},
        }
    )
    logging.captureWarnings(True)
    if not terminal:
        sys.excepthook = _uncaught
        threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def first_line(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Of a line that another library wrote: its first line, without what exceptions say."""
    record: logging.LogRecord = event["_record"]
    message = _message(record, event.pop("positional_args"))
    for error in _chain(record.exc_info[1] if record.exc_info else None):
        if str(error):
            message = message.replace(str(error), cause_of(error))
    event["event"] = message.partition("\n")[0][:LONGEST]
    return event


def _message(record: logging.LogRecord, arguments: Any) -> str:
    if record.name.startswith("django.security"):  # they quote the request
        return str(record.msg)
    if isinstance(record.msg, BaseException):
        return cause_of(record.msg)
    if isinstance(arguments, tuple):
        arguments = tuple(cause_of(arg) if isinstance(arg, BaseException) else arg for arg in arguments)
    try:
        return str(record.msg) % arguments if arguments else str(record.msg)
    except (TypeError, ValueError):
        return str(record.msg)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _traceback(exc_info: Any) -> str:
    """Where it happened, innermost last; the errors' own words at DEBUG only."""
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        return "".join(traceback.format_exception(*exc_info)).rstrip()
    parts = []
    for error in reversed(list(_chain(exc_info[1]))):
        frames = traceback.extract_tb(error.__traceback__)
        parts.append("".join([*traceback.format_list(frames), cause_of(error)]))
    return "\nthen:\n".join(parts)


def _without_keys(logger: Any, name: str, line: str) -> str:
    return KEY.sub("[key]", line)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit) or error is None:
        return
    logging.getLogger("config").critical("uncaught exception", exc_info=(kind, error, trace))
