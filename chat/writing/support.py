"""How far a sentence of a document supports a claim of an answer, by the words that they share."""

import math


def support(claim: frozenset[str], sentence: frozenset[str]) -> float:
    """0..1 from the stems of both: the share of the claim's words that the sentence has, and a little for being about
    nothing else. Figures count threefold: "30 days" is not supported by "14 days"."""
    shared = _weight(claim & sentence)
    if not shared:
        return 0.0
    wanted = _weight(claim)
    return 0.9 * shared / wanted + 0.1 * shared / math.sqrt(wanted * _weight(sentence))


def crude(text: str) -> set[str]:
    """The longer words of `text` as they stand: hundreds of times cheaper than stems, to see what is worth them."""
    return {word for word in text.casefold().split() if len(word) > 3}


def _weight(words: frozenset[str]) -> float:
    return sum(1.0 if word.isalpha() else 3.0 for word in words)
