"""A question that hangs on the conversation before it ("and for kids?") made to stand alone, to be searched for."""

import asyncio
from collections.abc import Callable, Sequence

from chat import prompts
from chat.llms import LlmError, Model, Turn, Usage, stream
from chat.understanding.dependence import depends

LONGEST = 300  # characters of a rewritten question
SECONDS = 3.0  # for the small call; the visitor waits for it


def standalone(question: str, history: Sequence[Turn]) -> tuple[str, bool]:
    """The question as it can be searched for, and whether its meaning hangs on the conversation (so that its answer
    must not be taken from a cache). A follow-up gets the words of the question that it follows put before it."""
    before = [turn.text for turn in history if turn.role == "visitor"]
    if not before or not depends(question):
        return question, False
    topic = next((text for text in reversed(before) if not depends(text)), before[0])
    return f"{topic.strip()} {question.strip()}", True


async def rewritten(
    question: str, history: Sequence[Turn], model: Model, charge: Callable[[Usage], None]
) -> tuple[str, bool]:
    """As `standalone`, by a small call to `model` where the question is a follow-up and the model can do it. When it
    fails, the rule's result serves. `charge` gets the tokens that the call took, however it ends."""
    by_rule, follows = standalone(question, history)
    if not follows or model.provider == "extractive":
        return by_rule, follows
    answer = stream(prompts.build_rewrite(question, history), model)
    try:
        async with answer, asyncio.timeout(SECONDS):
            text = "".join([piece async for piece in answer])
    except (LlmError, TimeoutError):
        return by_rule, True
    finally:
        if answer.reached_model:
            charge(answer.usage)
    line = " ".join(prompts.clean(text).split()).strip('"“”')
    return (line if 0 < len(line) <= LONGEST else by_rule), True
