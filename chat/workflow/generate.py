"""The second node: the answer, piece by piece onto the tape."""

import re
from typing import TYPE_CHECKING

from chat import answer_cache, llms, prompts
from chat.models import Message
from chat.pieces import Pieces
from chat.understanding.language import no_answer
from chat.workflow.state import Run, State
from chat.writing.answer import Answer

if TYPE_CHECKING:  # LangGraph takes a second to import; config/preload.py does it beside the start
    from langgraph.runtime import Runtime

Outcome = Message.Outcome
CUT = " …"  # after an answer that was longer than the limits
WORDS = re.compile(r"\s*\S+|\s+")


async def generate(state: State, runtime: "Runtime[Run]") -> State:
    """Say a ready answer, or have the model write one from the passages."""
    run = runtime.context
    if state.get("ready"):
        say_ready(run, state["text"])
    else:
        await _write(run, state)
    return {}


def say_ready(run: Run, text: str) -> None:
    """Say a text that is there already, in pieces like any answer."""
    pieces = Pieces()
    for word in WORDS.findall(text):
        run.say(pieces.push(word))
    run.say(pieces.flush())


async def _write(run: Run, state: State) -> None:
    """The model's answer, cited and made safe as it streams; however it ends, its usage is noted."""
    client = run.question.client
    model = llms.choose(client)
    prompt = prompts.build(client, state["query"], state["passages"], run.reserved.history, context=model.context)
    answer, pieces = Answer(prompt.passages), Pieces()
    stream = llms.stream(prompt, model, run.patience)
    note = {"model": model.id, "promptCharacters": _characters(prompt)}  # what is billed, should this process die
    run.tape.annotate(note)
    try:
        async with stream:
            async for piece in stream:
                if stream.model.id != note["model"]:  # somebody stands in for it, at other prices
                    note = {**note, "model": stream.model.id}
                    run.tape.annotate(note)
                run.say(pieces.push(answer.feed(piece)))
                if answer.full:
                    break
        rest = pieces.push(answer.finish()) + pieces.flush()
        if not (run.result.text + rest).strip():  # refused without a word, as the offline answerer does, or only marks
            say_ready(run, no_answer(state["language"], client))
        else:
            run.say(rest + (CUT if answer.full or stream.stop == "length" else ""))
    finally:
        run.result.sources = answer.sources()
        run.result.model = stream.model
        run.result.usage = stream.usage if stream.reached_model else None
    answered = run.result.sources and not answer.says_unanswered
    run.result.outcome = Outcome.ANSWERED if answered else Outcome.REFUSED
    if _is_for_everybody(prompt, state) and stream.stop == "end" and run.result.outcome == Outcome.ANSWERED:
        await answer_cache.put(state["cache_key"], {"text": run.result.text, "sources": run.result.sources}, run)


def _is_for_everybody(prompt: llms.Prompt, state: State) -> bool:
    """May the answer be remembered? What was written with a conversation in sight may speak of it."""
    return bool(state["cache_key"]) and not prompt.history


def _characters(prompt: llms.Prompt) -> int:
    turns = (turn.text for turn in prompt.history)
    passages = (passage.text for passage in prompt.passages)
    return sum(map(len, (prompt.system, *passages, *turns, prompt.question)))
