"""The offline answerer: no model, no key, no network. It quotes the sentences that answer, and says that it does."""

import re
from collections.abc import AsyncGenerator

from chat.evidence import best_sentences
from chat.language import language_of, phrase
from chat.llms.tally import Tally

_PIECE = re.compile(r"\s*\S+|\s+$")


async def pieces(tally: Tally) -> AsyncGenerator[str, None]:
    """One to three quotes, each with its mark, in pieces of a word. Nothing, and `tally.stop` "refusal", when no
    sentence is good enough."""
    tally.begun = True
    found = best_sentences(tally.prompt.question, tally.prompt.passages)
    if not found:
        tally.stop = "refusal"
        return
    intro = phrase("offline", language_of(tally.prompt.question))
    quotes = [f"“{' '.join(text.split())}” [{index + 1}#{sentence}]" for index, sentence, text in found]
    for piece in _PIECE.findall(" ".join([intro, *quotes])):
        tally.pieces.append(piece)
        yield piece
    tally.stop = "end"
