"""Words as they were probably meant: what a question misspells, in the words that the client's own passages have."""

import re
import string
from collections.abc import Iterable, Iterator

from knowledge import tokens
from knowledge.concepts import VAGUE, concept_words, concepts_of_word
from knowledge.words import folded, stem, words

LEAST = 5  # letters of a word that may be misspelt: shorter ones are too much like others
MOST = 3  # words of a question
_WORD = re.compile(r"[^\W_]+")


def slip(word: str, other: str) -> bool:
    """Is one the other with a letter left out, or with two neighbours exchanged? A wrong letter makes another word."""
    if word[:1] != other[:1] or abs(len(word) - len(other)) > 1:
        return False
    if len(word) == len(other):
        differ = [at for at in range(len(word)) if word[at] != other[at]]
        return len(differ) == 2 and differ[1] == differ[0] + 1 and word[differ[0]] == other[differ[1]]
    short, long = sorted((word, other), key=len)
    return any(long[:at] + long[at + 1 :] == short for at in range(1, len(long)))


def doubtful(question: str) -> list[str]:
    """The words of `question` that may be misspelt, the longest ones: no word that the tokenizer knows as a whole
    (of its 200,000, most are words of the languages that people write), and none that stands for a concept."""
    found = [folded(word) for word in dict.fromkeys(words(question)) if len(word) >= LEAST and word.isalpha()]
    odd = [word for word in found if word.isascii() and not concepts_of_word(word) and not _is_ordinary(word)]
    return sorted(odd, key=len, reverse=True)[:MOST]


def _is_ordinary(word: str) -> bool:
    return 1 in (tokens.count(f" {word}"), tokens.count(f" {word.title()}"))


def all_meant(doubted: Iterable[str]) -> str:
    """The doubted words, and every word of which one of them is a slip, some 300 each: a text to search for."""
    return " ".join(dict.fromkeys(each for word in doubted for each in (word, *_slips(word))))


def _slips(word: str) -> Iterator[str]:
    for at in range(1, len(word)):
        yield word[:at] + word[at + 1 :]
        yield word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    for at in range(1, len(word) + 1):
        yield from (word[:at] + letter + word[at:] for letter in string.ascii_lowercase)


def as_said(question: str, doubted: Iterable[str], texts: Iterable[str]) -> str:
    """`question` with each doubted word that neither a text nor a concept has as one of theirs that is spelt almost
    like it, if there is one."""
    doubted = set(doubted)
    if not doubted:
        return question
    said = concept_words().union(VAGUE, (folded(word) for text in texts for word in words(text)))
    meant = {word: other for word in doubted - said if (other := _meant(word, said))}
    return _WORD.sub(lambda each: meant.get(folded(each[0].casefold()), each[0]), question)


def _meant(word: str, said: Iterable[str]) -> str:
    """What of `said` the word is a slip of; empty where nothing is, or where another form of the word is said."""
    others = [other for other in said if slip(word, other)]
    return "" if any(stem(other) == stem(word) for other in others) else min(others, default="")
