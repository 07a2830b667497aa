"""Before the graph: what is asked, and whether its answer is there already. Running the graph for those would cost
more than all the rest of them."""

import asyncio

from chat import answer_cache, llms, metrics
from chat.models import Message
from chat.understanding.dependence import depends
from chat.understanding.followups import rewritten
from chat.understanding.language import greeting, language_of
from chat.workflow.state import Question, Run, State
from knowledge import search
from knowledge.search import Passage

Outcome = Message.Outcome


async def understand(run: Run) -> State:
    """A ready answer (to a greeting, or an earlier one), or what to search for."""
    question, client = run.question, run.question.client
    if reply := greeting(question.text):
        run.result.outcome = Outcome.GREETED
        return {"ready": True, "text": reply}
    model = llms.choose(client)
    query, follow_up = await rewritten(question.text, run.reserved.history, model, run.charge_rewriting)
    language = language_of(question.text)
    key = "" if follow_up else _cache_key(run, model.id, language)
    earlier = await answer_cache.get(key) if key else None
    if key:
        metrics.series(metrics.CACHE, "hit" if earlier else "miss").inc()
    if earlier:
        run.result.outcome, run.result.cached = Outcome.ANSWERED, True
        run.result.sources = earlier["sources"]
        return {"ready": True, "text": earlier["text"]}
    return {"query": query, "language": language, "cache_key": key}


def begin_search(question: Question) -> "asyncio.Task[list[Passage]] | None":
    """Search while the question's rows are written, where it stands alone whatever was said before."""
    if greeting(question.text) or (depends(question.text) and not question.new_session):
        return None
    return search.begin(question.client.pk, question.text)


def _cache_key(run: Run, model: str, language: str) -> str:
    """Under which this answer is remembered; empty when the run neither takes from the cache nor gives to it."""
    if not run.use_cache:
        return ""
    client = run.question.client
    version = run.reserved.knowledge_version
    return answer_cache.key_of(client.pk, version, model, client.instructions, language, run.question.text)
