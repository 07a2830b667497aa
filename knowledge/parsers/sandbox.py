"""Our side of the child process: one warm child a concurrent parse, replaced when it fails."""

import atexit
import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from knowledge.parsers.base import Block, Limits, NoTextLayer, Parsed, ParseError

log = logging.getLogger("knowledge.parsers")
ROOT = Path(__file__).resolve().parent.parent.parent
START = "import sys; sys.path.insert(0, sys.argv[1]); from knowledge.parsers.child import serve; serve()"
GRACE_SECONDS = 10  # beyond the file's own limit, for the child to start and to pass on a large answer
MAX_IDLE = 2
OUT_OF_MEMORY = 3  # as in child.py


class ChildLost(Exception):
    """The child ended or fell silent; the file was not the cause, or its fork would have died instead."""


class Child:
    """A process that reads one file at a time."""

    def __init__(self) -> None:
        # It sees none of our environment (secrets) but what an interpreter may need to start.
        environment = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", START, str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | {"OMP_THREAD_LIMIT": "1"},  # a fork may start no threads; Tesseract would
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for us; the child ends when its input does
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, path: Path, file_type: str, limits: Limits) -> tuple[dict[str, Any], bytes]:
        """How reading the file ended, and what was read, as JSON. Raises ChildLost."""
        assert self._process.stdin
        request = {"path": str(path), "type": file_type, "limits": {n: getattr(limits, n) for n in Limits.__slots__}}
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise ChildLost("it does not listen") from error
        deadline = time.monotonic() + limits.seconds + GRACE_SECONDS
        head, _, rest = self._receive(lambda data: b"\n" in data, deadline).partition(b"\n")
        outcome = json.loads(head)
        missing = outcome["size"] - len(rest)
        return outcome, rest + (self._receive(lambda data: len(data) >= missing, deadline) if missing else b"")

    def _receive(self, complete: Any, deadline: float) -> bytes:
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        data = bytearray()
        while not complete(data):
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise ChildLost("it does not answer")
            piece = os.read(descriptor, 1 << 20)
            if not piece:
                raise ChildLost("it ended")
            data += piece
        return bytes(data)

    def close(self) -> None:
        """End it, and with it any file it is reading."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()


_idle: list[Child] = []
os.register_at_fork(after_in_child=_idle.clear)  # a child is its starter's alone


@atexit.register
def close_children() -> None:
    while _idle:
        _idle.pop().close()


def parse(path: Path, file_type: str) -> Parsed:
    """Read a file of type "pdf", "docx", "txt" or "csv" in a child process with limits. Raises ParseError.

    Blocks its thread for at most the limit on wall time (settings.PARSE_SECONDS) and a grace of seconds; for a
    scan, where the setting OCR is on, for as much of settings.OCR_SECONDS on top.
    """
    from django.conf import settings  # here, because the child imports this package and does without Django

    limits = configured_limits()
    try:
        return _parse(path, file_type, limits)
    except NoTextLayer:
        if not settings.OCR:
            raise
    ocr = {"ocr_languages": settings.OCR_LANGUAGES, "ocr_data": settings.OCR_DATA}
    return _parse(path, "scan", replace(limits, seconds=settings.OCR_SECONDS, **ocr))


def _parse(path: Path, file_type: str, limits: Limits) -> Parsed:
    try:
        outcome, answer = read_in_child(path, file_type, limits)
    except ChildLost as lost:  # it may have ended while idle: a fresh one decides
        log.warning("The parsing process was lost (%s) and is replaced.", lost)
        try:
            outcome, answer = read_in_child(path, file_type, limits, fresh=True)
        except ChildLost as again:
            log.error("No parsing process can be kept running (%s).", again)
            raise ParseError("The file could not be read.") from again
    return _result(outcome, answer, limits)


def configured_limits() -> Limits:
    from django.conf import settings

    return Limits(
        seconds=settings.PARSE_SECONDS,
        memory=settings.PARSE_MEMORY_MB * 1024 * 1024,
        characters=settings.PARSE_MAX_CHARACTERS,
        pages=settings.PARSE_MAX_PAGES,
        rows=settings.PARSE_MAX_ROWS,
    )


def read_in_child(path: Path, file_type: str, limits: Limits, *, fresh: bool = False) -> tuple[dict[str, Any], bytes]:
    """As Child.ask, with an idle child or a new one."""
    try:
        child = Child() if fresh else _idle.pop()
    except IndexError:
        child = Child()
    try:
        answer = child.ask(path, file_type, limits)
    except BaseException:
        child.close()
        raise
    if len(_idle) < MAX_IDLE:
        _idle.append(child)
    else:
        child.close()
    return answer


def _result(outcome: dict[str, Any], answer: bytes, limits: Limits) -> Parsed:
    log.debug("parsed a file: %s", outcome)
    if not outcome["in_time"] or outcome["status"] in (-24, -9):  # SIGXCPU; SIGKILL is its hard limit
        raise ParseError(f"The file could not be read within {limits.seconds:g} seconds.")
    if outcome["status"] == OUT_OF_MEMORY:
        raise ParseError("The file needs too much memory to read. A smaller or simpler version may work.")
    if outcome["status"] or not answer:
        raise ParseError("The file could not be read: it is damaged or needs too much memory.")
    value = json.loads(answer)
    if "error" in value:
        raise (NoTextLayer if value["scan"] else ParseError)(value["error"])
    if "damaged" in value:
        log.info("A damaged file: %s", value["damaged"])
        raise ParseError("The file could not be read: it is damaged.")
    paths = [tuple(path) for path in value["paths"]]
    blocks = tuple(Block(start, end, kind, page, paths[path]) for start, end, kind, page, path in value["blocks"])
    return Parsed(value["text"], blocks, value["pages"])
