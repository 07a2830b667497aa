"""What the first question would wait seconds for is loaded beside the start: LangGraph, SDKs, the embedding model."""

import threading

import structlog

from chat import llms
from chat.workflow.graph import answer_graph
from knowledge.embeddings import get_embedder

log = structlog.get_logger(__name__)


def begin() -> None:
    """Load in a thread; the server listens meanwhile."""
    threading.Thread(target=_load, name="preload", daemon=True).start()


def _load() -> None:
    for load in (answer_graph, llms.preload, get_embedder().load):
        try:
            load()
        except Exception:
            log.exception("preload")
