"""retrieve -> generate -> log, as a compiled LangGraph StateGraph without a checkpointer."""

from functools import cache
from typing import Any


@cache
def answer_graph() -> Any:
    """The compiled graph; made at first use, because importing LangGraph takes most of a second."""
    from langgraph.graph import END, START, StateGraph

    from chat.workflow.generate import generate
    from chat.workflow.log import log
    from chat.workflow.retrieve import retrieve
    from chat.workflow.state import Run, State
    from tenants import tracing

    graph = StateGraph(State, context_schema=Run)
    for name, node in (("retrieve", retrieve), ("generate", generate), ("log", log)):
        graph.add_node(name, tracing.traced(name, node))
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "generate")
    graph.add_edge("generate", "log")
    graph.add_edge("log", END)
    return graph.compile()
