"""What the first page or question would wait seconds for is loaded beside the start: the widget's files, LangGraph,
SDKs, the embedding model.

In production the port is opened after it: whoever comes has deadlines, and another process serves meanwhile."""

import gc
import threading

import structlog

from chat import llms
from chat.widget.assets import assets
from chat.workflow.graph import answer_graph
from knowledge.embeddings import get_embedder

log = structlog.get_logger(__name__)


_done = threading.Event()


def begin() -> None:
    """Load in a thread."""
    threading.Thread(target=_load, name="preload", daemon=True).start()


def wait() -> None:
    """Until all is loaded."""
    _done.wait()


def _load() -> None:
    try:
        _load_all()
    finally:
        _done.set()


def _load_all() -> None:
    for load in (assets, answer_graph, llms.preload, get_embedder().load):
        try:
            load()
        except Exception:
            log.exception("preload")
    gc.collect()
    gc.freeze()  # what is loaded stays: a full collection would walk through its 275,000 objects, for 0.2 s
