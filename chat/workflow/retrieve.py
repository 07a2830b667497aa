"""The first node: what is asked, and what of the client's knowledge may answer it."""

from langgraph.runtime import Runtime

from chat import answer_cache, llms
from chat.language import greeting, language_of, no_answer
from chat.models import Message
from chat.workflow.state import Run, State
from knowledge.search import search

Outcome = Message.Outcome


async def retrieve(state: State, runtime: Runtime[Run]) -> State:
    """Passages for the model, or an answer that needs none: a greeting, an earlier answer, an honest refusal."""
    run = runtime.context
    question, client = run.question, run.question.client
    language = language_of(question.text)
    if reply := greeting(question.text):
        run.result.outcome = Outcome.GREETED
        return {"ready": True, "text": reply}
    query, follow_up = question.text, False
    key = answer_cache.key_of(
        client.pk, run.reserved.knowledge_version, llms.choose(client).id, client.instructions, language, query
    )
    if not follow_up and (earlier := await answer_cache.get(key)):
        run.result.outcome, run.result.cached = Outcome.ANSWERED, True
        run.result.sources = earlier["sources"]
        return {"ready": True, "text": earlier["text"]}
    passages = await search(client.pk, query)
    if not passages:
        run.result.outcome = Outcome.REFUSED
        return {"ready": True, "text": no_answer(language, client)}
    return {"passages": passages, "query": query, "cache_key": "" if follow_up else key}
