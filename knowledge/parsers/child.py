"""The process that reads untrusted files, started by `knowledge.parsers.sandbox`.

It loads the libraries once and then forks for each file: the fork costs milliseconds, starts from clean
memory (nothing of one client's file is there for the next), carries the limits, and may die of its file.
The parent process talks to it in lines of JSON on standard input and output. It ends when the parent does.
"""

import ctypes
import gc
import importlib
import json
import math
import os
import resource
import select
import signal
import sys
import time
import traceback
from typing import Any, NoReturn

from knowledge.parsers import csv, docx, ocr, pdf, txt
from knowledge.parsers.base import Limits, NoTextLayer, Parsed, ParseError

READERS = {"pdf": pdf.read, "docx": docx.read, "txt": txt.read, "csv": csv.read, "scan": ocr.read}
OUT_OF_MEMORY = 3  # exit statuses of a fork
LOADED_PYPDF = 4
MAX_ANSWER_BYTES = 256 * 1024 * 1024  # far above any honest answer; the reader's own limits are in characters
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # here, because a fork would look for it anew


def serve() -> None:
    """Answer requests, one at a time, until the parent closes standard input or is gone."""
    sys.setrecursionlimit(3000)
    pdf.warm_up()
    parent = os.getppid()
    requests = os.fdopen(0, "rb", buffering=0)
    gc.freeze()  # a fork's collector would write to every page of the heap that it shares with us, and copy it so
    while os.getppid() == parent:
        if not select.select([requests], [], [], 5)[0]:
            continue
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)
        outcome, answer = _run(request["path"], request["type"], Limits(**request["limits"]))
        _write(1, json.dumps(outcome | {"size": len(answer)}).encode() + b"\n" + answer)


def _run(path: str, file_type: str, limits: Limits) -> tuple[dict[str, Any], bytes]:
    """Read one file in a fork. Returns how it ended and the JSON it wrote."""
    started = time.monotonic()
    inlet, outlet = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(inlet)
        _read_and_exit(path, file_type, limits, outlet)
    os.close(outlet)
    answer, in_time = _collect(inlet, started + limits.seconds)
    os.close(inlet)
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    status = os.waitstatus_to_exitcode(status)
    if status == LOADED_PYPDF:  # a third of a second, which its next user need not spend again
        importlib.import_module("pypdf")
        status = 0
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "status": status,
        "in_time": in_time,
        "seconds": round(time.monotonic() - started, 4),
        "cpu": round(cpu, 4),
        "peak": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }, answer


def _collect(inlet: int, deadline: float) -> tuple[bytes, bool]:
    """What the fork writes until it closes its end, and whether that was before the deadline."""
    pieces: list[bytes] = []
    size = 0
    while (left := deadline - time.monotonic()) > 0 and size <= MAX_ANSWER_BYTES:
        ready = select.select([inlet, 0], [], [], left)[0]
        if inlet in ready:
            piece = os.read(inlet, 1 << 20)
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
            size += len(piece)
        elif ready:  # nothing is sent to us while we work: the parent is gone
            os._exit(0)
    return b"", False


def _read_and_exit(path: str, file_type: str, limits: Limits, outlet: int) -> NoReturn:
    status = 0
    prepared = "pypdf" in sys.modules
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # what a file makes a library do must not reach the parent's channel
            os.dup2(nothing, descriptor)
        _confine(limits)
        _write(outlet, _answer(path, file_type, limits))
        if not prepared and "pypdf" in sys.modules:
            status = LOADED_PYPDF
    except MemoryError:
        status = OUT_OF_MEMORY
    finally:
        os._exit(status)


def _confine(limits: Limits) -> None:
    """No more memory, time, files or processes than the limits; no writing; no life after our own parent's."""
    if sys.platform == "linux":
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    seconds = math.ceil(limits.seconds)
    bounds = {"CPU": (seconds, seconds + 1), "AS": limits.memory, "FSIZE": 0, "CORE": 0, "NOFILE": 64, "NPROC": 0}
    for name, bound in bounds.items():
        pair = bound if isinstance(bound, tuple) else (bound, bound)
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), pair)
        except (ValueError, OSError):
            if sys.platform == "linux":  # macOS refuses some of them; there the wall clock still holds
                raise


def _answer(path: str, file_type: str, limits: Limits) -> bytes:
    try:
        return _encode(READERS[file_type](path, limits))
    except ParseError as error:
        return json.dumps({"error": str(error), "scan": isinstance(error, NoTextLayer)}).encode()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file may raise anything in a library
        frame = traceback.extract_tb(error.__traceback__)[-1]
        cause = f"{type(error).__name__} at {os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119
        return json.dumps({"damaged": cause}).encode()


def _encode(parsed: Parsed) -> bytes:
    """JSON, with each heading path once: a table of 50,000 rows has one."""
    paths: dict[tuple[str, ...], int] = {}
    blocks = [(b.start, b.end, b.kind, b.page, paths.setdefault(b.heading_path, len(paths))) for b in parsed.blocks]
    value = {"text": parsed.text, "blocks": blocks, "paths": list(paths), "pages": parsed.pages}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
