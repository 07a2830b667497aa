"""The first node: what of the client's knowledge may answer the question."""

from typing import TYPE_CHECKING

from chat.models import Message
from chat.understanding.language import no_answer
from chat.workflow.state import Run, State
from knowledge.search import search

if TYPE_CHECKING:  # LangGraph takes a second to import; config/preload.py does it beside the start
    from langgraph.runtime import Runtime


async def retrieve(state: State, runtime: "Runtime[Run]") -> State:
    """Passages for the model, or an honest refusal, which needs none."""
    run = runtime.context
    as_it_stands = state["query"] == run.question.text
    passages = await (run.ahead if run.ahead and as_it_stands else search(run.question.client.pk, state["query"]))
    if not passages:
        run.result.outcome = Message.Outcome.REFUSED
        return {"ready": True, "text": no_answer(state["language"], run.question.client)}
    return {"passages": passages}
