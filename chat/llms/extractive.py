"""The offline answerer: no model, no key, no network. It quotes the sentences that answer, and says that it does."""

import re
from collections.abc import AsyncGenerator

from chat.llms.evidence import LANGUAGE_FROM, best_sentences
from chat.llms.tally import Tally
from chat.understanding.language import language_of, phrase
from knowledge import tokens

_BRACKETED = re.compile(r"[\[【]([^\]】]{0,60})[\]】]")
_PIECE = re.compile(r"\s*\S+|\s+$")


async def pieces(tally: Tally) -> AsyncGenerator[str, None]:
    """One to three quotes, each with its mark, in pieces of a word. Nothing, and `tally.stop` "refusal", when no
    sentence is good enough."""
    prompt = tally.prompt
    tally.begun = True
    tally.prompt_tokens = sum(map(tokens.count, [prompt.question, *(passage.text for passage in prompt.passages)]))
    found = best_sentences(prompt.question, prompt.passages)
    if found:
        quotes = [f"“{_quotable(text)}” [{index + 1}#{sentence}]" for index, sentence, text in found]
        # The question may be too short to tell its language.
        quoted = language_of(prompt.passages[found[0][0]].text[:LANGUAGE_FROM])
        text = " ".join([phrase("offline", language_of(prompt.question, quoted)), *quotes])
        for piece in _PIECE.findall(text):
            tally.pieces.append(piece)
            yield piece
    tally.completion_tokens = tokens.count("".join(tally.pieces))
    tally.stop = "end" if found else "refusal"


def _quotable(text: str) -> str:
    """One line, and nothing in it that would be taken for a mark of ours ("[12]" in an encyclopedia)."""
    return _BRACKETED.sub(r"(\1)", " ".join(text.split()))
