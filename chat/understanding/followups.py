"""A question that hangs on the conversation before it ("and for kids?") made to stand alone, to be searched for."""

import asyncio
import re
from collections.abc import Sequence

from chat import prompts
from chat.llms import LlmError, Model, Turn, Usage, stream
from chat.understanding.words import stems

LONGEST = 300  # characters of a rewritten question
SECONDS = 3.0  # for the small call; the visitor waits for it

# How a follow-up begins, and the words in it that point back, in the languages that the product speaks.
_BEGINS = re.compile(
    r"^(?:and|but|or|so|also|what about|how about|what if|then|same|why not|really|"
    r"und|oder|aber|auch|was ist mit|wie sieht es mit|dann|warum nicht|"
    r"et|mais|ou|alors|aussi|qu'en est-il|et pour|"
    r"y|e|o|pero|entonces|también|qué tal|qué pasa con|mas|então|também|que tal|"
    r"ma|allora|anche|invece|en|maar|of|dan|a co|ve|peki|ya|а|и|но|"
    r"و|ماذا عن|じゃあ|では|それ|那|那么)(?![\w'-])",
    re.I,
)
_POINTS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|that|these|those|there|one|ones|he|she|him|her|same|else|instead|"
    r"das|dies|diese[rsnm]?|davon|dafür|dazu|damit|darauf|dort|sie|ihn|ihm|"
    r"ça|cela|celui|celle|ceux|celles|là|en|"
    r"eso|esto|ese|esa|esos|esas|ello|isso|isto|esse|essa|"
    r"auch für|auch bei|also for|also apply|aussi pour|también para|também para|anche per|ook voor|"
    r"quello|quella|questo|questa|dat|die|deze|daar|это|этот|эта|они|он|она)\b|それ|これ|その|它|这个|那个|ذلك|هذا|هذه",
    re.I,
)
_POINTS_FORWARD = re.compile(
    r"\b(?:is it|was it|it is|it's|does it take|is there|are there|there is|there are|"
    r"gibt es|geht es|est-ce|il y a|y a-t-il|"
    r"die|das|sie|en|one day|that (?:the|my|your|i|you|is|are|was))\b",
    re.I,
)
_FEW = 2  # content words: fewer don't say what a question is about ("how much?", "and in red?")


def standalone(question: str, history: Sequence[Turn]) -> tuple[str, bool]:
    """The question as it can be searched for, and whether its meaning hangs on the conversation (so that its answer
    must not be taken from a cache). A follow-up gets the words of the question that it follows put before it."""
    before = [turn.text for turn in history if turn.role == "visitor"]
    if not before or not depends(question):
        return question, False
    topic = next((text for text in reversed(before) if not depends(text)), before[0])
    return f"{topic.strip()} {question.strip()}", True


def depends(question: str) -> bool:
    """Does the question hang on what was said before, if anything was?"""
    text = " ".join(question.split()).lstrip("¿¡ ")
    content = len(stems(text))
    if _BEGINS.match(text):
        return content <= 6
    if _POINTS_BACK.search(_POINTS_FORWARD.sub("", text)):
        return content <= 6
    return content < _FEW


async def rewritten(question: str, history: Sequence[Turn], model: Model) -> tuple[str, bool, Usage | None]:
    """As `standalone`, by a small call to `model` where the question is a follow-up and the model can do it; with the
    tokens that the call took. When it fails, the rule's result serves."""
    by_rule, depends = standalone(question, history)
    if not depends or model.provider == "extractive":
        return by_rule, depends, None
    answer = stream(prompts.build_rewrite(question, history), model)
    try:
        async with answer, asyncio.timeout(SECONDS):
            text = "".join([piece async for piece in answer])
    except (LlmError, TimeoutError):
        return by_rule, True, answer.usage if answer.reached_model else None
    line = " ".join(prompts.clean(text).split()).strip('"“”')
    return (line if 0 < len(line) <= LONGEST else by_rule), True, answer.usage
