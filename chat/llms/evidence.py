"""Which sentences of the retrieved passages answer a question, judged by words, figures and the kind of question."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from chat.understanding.dependence import depends
from chat.understanding.language import language_of
from chat.understanding.question_kinds import (
    CALENDAR,
    RECORD,
    Kind,
    asked_to_exist,
    besides_kinds,
    kinds_of,
    separate_questions,
)
from chat.writing.sentences import sentences
from knowledge.concepts import VAGUE, concept_of, concepts_in, concepts_of_word
from knowledge.spelling import LEAST, as_said, doubtful, slip
from knowledge.words import STOPWORDS, stem, stems, words

if TYPE_CHECKING:
    from knowledge.search import Passage

FLOOR = 0.40  # below it no sentence is shown; chosen on labelled shop questions, see tests/chat/test_extractive.py
CLOSE = 0.9  # of the best one's score: what else is shown beside it
MOST = 3
FOLLOWED_UP = 2.0  # times the weight of a follow-up's own words
UNSAID = 0.6  # times the score of a sentence that says none of the words that it must
SAYS_ALL = 0.85  # times the score of a sentence that has all words of the question, but not what it asks for, at least
HEADED = 0.9  # of what the headings above a table's row say counts as said by the row
BELOW = (0.8, 0.6)  # likewise for the first sentence below a heading, and for those after it
ALIKE = 0.7  # from which share of common words on a visitor's question is an FAQ's own
FOREIGN = 0.8  # times the score of a sentence in another language than the question's
LANGUAGE_FROM = 400  # characters of a passage
A_TABLE_HAS = 4  # semicolons in so many
_YES_OR_NO = re.compile(r"(?:yes|no|ja|nein|oui|non|sí|si|sim|não)\W*", re.I)
_CONTENT = re.compile(r"\d|:\s*\S|[|\t]|@")  # a short line with any of these says something, and is no heading
_NUMBERING = re.compile(r"\d{1,2}(?:\.\d{1,2})*\s+(?=[^\W\d_])")  # "4 Milk foam", "3.2 Cleaning"; "1. " is a step
_RULE = re.compile(r"[\s|:`~-]+")  # below a table's head, or around code
_WORD = re.compile(r"\w+")
_CODE = re.compile(r"[a-z]{1,4}\d+")
_LATER = re.compile(r"(?<=[\w,;)] )[^\W\d_][\w-]*")  # words that begin no sentence


@dataclass(frozen=True)
class _Candidate:
    passage: int
    number: int
    text: str
    meaning: frozenset[str]
    answers: frozenset[str]  # the meaning of the question right before it, as in an FAQ
    under: frozenset[str]  # the meaning of the nearest heading above it
    below: float  # how much of that counts as said by the sentence
    around: frozenset[str]  # and what the title and the sentence before it are about
    question: frozenset[str]  # the words of the question right before it, all of them


def best_sentences(question: str, passages: Sequence["Passage"]) -> list[tuple[int, int, str]]:
    """Up to three (index of passage, number of sentence, text), best first; [] when nothing answers well enough.
    Of a message that holds several questions, the best for each."""
    candidates = [each for index, passage in enumerate(passages) for each in _candidates(index, passage)]
    if not candidates:
        return []
    said = frozenset[str]().union(*(each.meaning | each.around | each.answers for each in candidates))
    question = as_said(question, doubtful(question), [passage.text for passage in passages])
    parts = separate_questions(question)
    found = [_chosen(_scored(part, candidates, passages, said)) for part in parts]
    chosen = found[0] if len(parts) == 1 else list(dict.fromkeys(each for few in found for each in few[:1]))
    return [(each.passage, each.number, each.text) for each in chosen[:MOST]]


def _scored(
    question: str, candidates: list[_Candidate], passages: Sequence["Passage"], said: frozenset[str]
) -> list[tuple[float, _Candidate]]:
    """The candidates with their scores, best first; none for a question that says nothing.

    `said`: all that they speak of, or are about.
    """
    wanted = _wanted(question, said)
    if not any(len(word) > 1 or not word.isdigit() for word in wanted):
        return []
    weights = _weights(wanted, candidates)
    now = _asked_now(question)
    followed_up = wanted & frozenset(stems(besides_kinds(now)))
    for word in followed_up:
        weights[word] *= FOLLOWED_UP
    to_exist = frozenset() if now else wanted & frozenset(stems(asked_to_exist(question)))
    needed = _needed(wanted, followed_up, to_exist, candidates)
    stranger = _names_a_stranger(question, said)
    kinds = kinds_of(now) or kinds_of(question)
    spoken = _words(question)
    foreign = _foreign(question, passages)
    scored = []
    for candidate in candidates:
        passage_score = min(1.0, max(0.0, float(passages[candidate.passage].score)))
        score = _score(candidate, weights, kinds, spoken, passage_score)
        missed = stranger or (needed and not any(_says(word, candidate) for word in needed))
        score *= UNSAID if missed else 1.0
        scored.append((score * FOREIGN if candidate.passage in foreign else score, candidate))
    return sorted(scored, key=lambda pair: -pair[0])


def _foreign(question: str, passages: Sequence["Passage"]) -> set[int]:
    """The passages in another language than the question's, where both can be told."""
    own = language_of(question, "")
    languages = [_language(passage.text[:LANGUAGE_FROM]) for passage in passages] if own else []
    return {index for index, language in enumerate(languages) if language not in ("", own)}


@lru_cache(maxsize=512)
def _language(text: str) -> str:
    """Of prose; the few words of a table's rows tell none."""
    return language_of(text, "") if text.count("; ") < A_TABLE_HAS else ""


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))


def _chosen(scored: list[tuple[float, _Candidate]]) -> list[_Candidate]:
    chosen: list[_Candidate] = []
    for score, candidate in scored:
        if score < FLOOR or score < CLOSE * scored[0][0] or len(chosen) == MOST:
            break
        if all(_overlap(candidate.meaning, other.meaning) < 0.6 for other in chosen):
            chosen.append(candidate)
    return chosen


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, min(len(one), len(other)))


@lru_cache(maxsize=4_000)  # the same passages answer many questions
def _meaning(text: str) -> frozenset[str]:
    """The words' stems, and the shop's concepts that they stand for ("send back" and "return" are one)."""
    return frozenset(stems(text)) | concepts_in(text)


def _candidates(index: int, passage: "Passage") -> Iterator[_Candidate]:
    """The sentences of a passage that can be quoted. A heading or a question answers nothing itself; it tells what the
    next sentences are about."""
    about = _meaning(" ".join([passage.title, *passage.heading_path]))
    above = _meaning(" ".join(passage.heading_path[-1:]))
    asked = lead = before = question = frozenset[str]()
    fresh = False  # no sentence yet below the heading
    texts = [passage.text[start:end] for start, end in sentences(passage.text)]
    for number, text in enumerate(texts):
        meaning = _meaning(text)
        if text.endswith(("?", "？", "؟")):
            asked, before, question = meaning, frozenset(), _words(text)
        elif _RULE.fullmatch(text) or (asked and _YES_OR_NO.fullmatch(text)):  # what follows it says more
            continue
        elif _is_heading(text) or _heads_table(text, *texts[number + 1 : number + 2]):
            above_table = lead if ";" in text or "|" in text else frozenset()  # the first row: "Destination; Charge"
            asked, lead, before, fresh = frozenset(), meaning | above_table, frozenset(), True
        else:
            below, around = BELOW[0 if fresh else 1], about | lead | before
            yield _Candidate(index, number, text, meaning, asked, lead or above, below, around, question)
            asked, before, question, fresh = frozenset(), meaning | asked, frozenset(), False


def _is_heading(text: str) -> bool:
    plain = _NUMBERING.sub("", text, count=1)
    return len(plain) < 60 and not plain.endswith((".", "!", "。", ";", ",")) and not _CONTENT.search(plain)


def _heads_table(text: str, following: str = "") -> bool:
    """Is it the row that names a table's columns? A rule is below it, or a row that repeats the first name."""
    if text.startswith("|"):
        return "-" in following and bool(_RULE.fullmatch(following))
    first, _, others = text.partition(";")
    return bool(others) and following.startswith(f"{first}: ")


def _wanted(question: str, said: frozenset[str]) -> frozenset[str]:
    """What an answer should say: the question's words, stemmed. One that nobody says is taken for what its parts stand
    for ("Versandkosten": delivery and price), or for a word that is spelt almost like it."""
    wanted: set[str] = set(stems(question))
    for word in words(question):
        own = stem(word)
        parts = {concept for concept in concepts_of_word(word) if concept != concept_of(own)}
        if own not in said:
            meant = parts or {_as_spelt(own, said)}
            wanted = (wanted - {own}) | (meant if word not in VAGUE else set())
        wanted |= parts
    return frozenset(wanted)


def _names_a_stranger(question: str, said: frozenset[str]) -> bool:
    """Is something named ("the Everest jacket", "to the US") that nobody speaks of? What is said of others does not
    answer then. Names are told by their capitals within a sentence, so not in German, nor where all words have them."""
    if language_of(question, "de") == "de":
        return False
    later = [word for word in _LATER.findall(question) if word.casefold() not in STOPWORDS or word == "US"]
    names = [word for word in later if (word.istitle() or word == "US") and not CALENDAR.fullmatch(word)]
    if not names or len(names) == len(later):
        return False
    parts = [part for name in names for part in words(name.casefold()) or [name.casefold()]]
    return all(said.isdisjoint(concepts_of_word(part)) and _as_spelt(stem(part), said) not in said for part in parts)


def _as_spelt(word: str, said: frozenset[str]) -> str:
    if len(word) < LEAST or not word.isalpha() or concept_of(word):
        return word
    return min((other for other in said if slip(word, other)), default=word)


def _weights(wanted: frozenset[str], candidates: list[_Candidate]) -> dict[str, float]:
    """How much each wanted word tells: rare among the sentences tells more; in none, still something."""
    weights = {}
    for word in wanted:
        either = {word, concept_of(word)}
        seen = sum(not either.isdisjoint(candidate.meaning) for candidate in candidates)
        weights[word] = 0.5 + math.log(1 + len(candidates) / (1 + seen))
    return weights


def _asked_now(question: str) -> str:
    """ "and tents?" of "How long do I have to return boots? and tents?"; nothing of a question that follows none."""
    parts = [question[start:end] for start, end in sentences(question)]
    return parts[-1] if len(parts) > 1 and depends(parts[-1]) else ""


def _needed(
    wanted: frozenset[str], followed_up: frozenset[str], to_exist: frozenset[str], candidates: list[_Candidate]
) -> frozenset[str]:
    """Words of which a sentence must say one: codes such as "E05"; of a follow-up's own those that are said at all;
    else, of what is asked to exist, the ones that are said least ("skis" in "Do you sell skis?", though nobody says
    it)."""
    if codes := frozenset(word for word in wanted if _CODE.fullmatch(word)):
        return codes
    said = {word: sum(_says(word, candidate) for candidate in candidates) for word in followed_up | to_exist}
    if answerable := frozenset(word for word in followed_up if said[word]):
        return answerable
    fewest = min((said[word] for word in to_exist), default=0)
    return frozenset(word for word in to_exist if said[word] == fewest)


def _says(word: str, candidate: _Candidate) -> bool:
    either = {word, concept_of(word)}
    return not all(map(either.isdisjoint, (candidate.meaning, candidate.answers)))


def _score(
    candidate: _Candidate, weights: dict[str, float], kinds: list[Kind], spoken: frozenset[str], passage_score: float
) -> float:
    named = [kind for kind in kinds if kind.answer.search(candidate.text)]
    implied = {kind.says for kind in named if kind.says}
    meaning = candidate.meaning | implied
    own = max(_covered(weights, meaning), 0.9 * _covered(weights, candidate.answers))
    near = _covered(weights, candidate.around | meaning | candidate.answers)
    below = HEADED if implied or RECORD.match(candidate.text) else candidate.below
    own = max(own, below * _covered(weights, candidate.under | meaning))
    if candidate.question and _alike(spoken, candidate.question) >= ALIKE:
        return 1.0 + 0.2 * passage_score  # above all that only has the question's words
    if own == 0 and near < 0.5:
        return 0.0
    score = 0.55 * own + 0.25 * near + 0.20 * passage_score
    missed = math.prod(kind.miss for kind in kinds if kind not in named)
    score = min(1.0, score + sum(kind.bonus for kind in named))
    return score * (max(missed, SAYS_ALL) if own > 0.95 and len(weights) > 1 else missed)


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Dice's: twice the common words over the words of both."""
    return 2 * len(one & other) / (len(one) + len(other) or 1)


def _covered(weights: dict[str, float], meaning: frozenset[str]) -> float:
    """The share of the question's weight that is said: a word of the same concept counts for most of the word."""
    said = 0.0
    for word, weight in weights.items():
        if word in meaning:
            said += weight
        elif (concept := concept_of(word)) and concept in meaning:
            said += 0.8 * weight
    return said / sum(weights.values())
