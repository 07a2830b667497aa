"""How far a sentence of a document supports a claim of an answer, by the words that they share."""

import math
import re

from chat.words import stems

_FIGURE = re.compile(r"\d+")


def support(claim: str, sentence: str) -> float:
    """0..1: the share of the claim's content words that the sentence has, and a little for being about nothing else.
    Figures count threefold: "30 days" is not supported by "14 days"."""
    wanted, given = set(stems(claim)), set(stems(sentence))
    if not wanted or not given:
        return 0.0
    shared = _weight(wanted & given)
    return 0.9 * shared / _weight(wanted) + 0.1 * shared / math.sqrt(_weight(wanted) * _weight(given))


def _weight(words: set[str]) -> float:
    return sum(3.0 if _FIGURE.search(word) else 1.0 for word in words)
