"""Which sentences of the retrieved passages answer a question, judged by words, figures and the kind of question."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chat.understanding.concepts import concept_of, concepts_of
from chat.understanding.dependence import depends
from chat.understanding.question_kinds import RECORD, Kind, asked_to_exist, kinds_of
from chat.understanding.words import stems
from chat.writing.sentences import sentences

if TYPE_CHECKING:
    from knowledge.search import Passage

FLOOR = 0.40  # below it no sentence is shown; chosen on labelled shop questions, see tests/chat/test_extractive.py
CLOSE = 0.9  # of the best one's score: what else is shown beside it
MOST = 3
FOLLOWED_UP = 2.0  # times the weight of a follow-up's own words
UNSAID = 0.6  # times the score of a sentence that says none of the words that it must
HEADED = 0.9  # of what the headings above a table's row say counts as said by the row
_YES_OR_NO = re.compile(r"(?:yes|no|ja|nein|oui|non|sí|si|sim|não)\W*", re.I)
_CONTENT = re.compile(r"\d|:\s*\S|[|\t]|@")  # a short line with any of these says something, and is no heading


@dataclass(frozen=True)
class _Candidate:
    passage: int
    number: int
    text: str
    meaning: frozenset[str]
    answers: frozenset[str]  # the meaning of the question right before it, as in an FAQ
    under: frozenset[str]  # the meaning of the nearest heading above it
    around: frozenset[str]  # and what the title and the sentence before it are about


def best_sentences(question: str, passages: Sequence["Passage"]) -> list[tuple[int, int, str]]:
    """Up to three (index of passage, number of sentence, text), best first; [] when nothing answers well enough."""
    candidates = [each for index, passage in enumerate(passages) for each in _candidates(index, passage)]
    wanted = frozenset(stems(question))
    if not candidates or not wanted:
        return []
    weights = _weights(wanted, candidates)
    followed_up = wanted & _followed_up(question)
    for word in followed_up:
        weights[word] *= FOLLOWED_UP
    needed = _needed(followed_up, wanted & frozenset(stems(asked_to_exist(question))), candidates)
    kinds = kinds_of(question)
    scored = []
    for candidate in candidates:
        passage_score = min(1.0, max(0.0, float(passages[candidate.passage].score)))
        score = _score(candidate, weights, kinds, passage_score)
        missed = needed and not any(_says(word, candidate) for word in needed)
        scored.append((score * UNSAID if missed else score, candidate))
    scored.sort(key=lambda pair: -pair[0])
    return [(each.passage, each.number, each.text) for each in _chosen(scored)]


def _chosen(scored: list[tuple[float, _Candidate]]) -> list[_Candidate]:
    best = scored[0][0]
    chosen: list[_Candidate] = []
    for score, candidate in scored:
        if score < FLOOR or score < CLOSE * best or len(chosen) == MOST:
            break
        if all(_overlap(candidate.meaning, other.meaning) < 0.6 for other in chosen):
            chosen.append(candidate)
    return chosen


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, min(len(one), len(other)))


def _meaning(text: str) -> frozenset[str]:
    """The words' stems, and the shop's concepts that they stand for ("send back" and "return" are one)."""
    words = stems(text)
    return frozenset(words) | concepts_of(words)


def _candidates(index: int, passage: "Passage") -> Iterator[_Candidate]:
    """The sentences of a passage that can be quoted. A heading or a question answers nothing itself; it tells what the
    next sentences are about."""
    about = _meaning(" ".join([passage.title, *passage.heading_path]))
    above = _meaning(" ".join(passage.heading_path[-1:]))
    asked = lead = before = frozenset[str]()
    for number, (start, end) in enumerate(sentences(passage.text)):
        text = passage.text[start:end]
        meaning = _meaning(text)
        if text.endswith(("?", "？", "؟")):
            asked, before = meaning, frozenset()
        elif asked and _YES_OR_NO.fullmatch(text):  # what follows it says more
            continue
        elif _is_heading(text):
            above_table = lead if ";" in text else frozenset()  # "Destination; Time; Charge" is a table's first row
            asked, lead, before = frozenset(), meaning | above_table, frozenset()
        else:
            yield _Candidate(index, number, text, meaning, asked, lead or above, about | lead | before)
            asked, before = frozenset(), meaning | asked


def _is_heading(text: str) -> bool:
    return len(text) < 60 and not text.endswith((".", "!", "。", ";", ",")) and not _CONTENT.search(text)


def _weights(wanted: frozenset[str], candidates: list[_Candidate]) -> dict[str, float]:
    """How much each wanted word tells: rare among the sentences tells more; in none, still something."""
    weights = {}
    for word in wanted:
        either = {word, concept_of(word)}
        seen = sum(not either.isdisjoint(candidate.meaning) for candidate in candidates)
        weights[word] = 0.5 + math.log(1 + len(candidates) / (1 + seen))
    return weights


def _followed_up(question: str) -> frozenset[str]:
    """The words of "and tents?" in "How long do I have to return boots? and tents?": what is asked now."""
    parts = [question[start:end] for start, end in sentences(question)]
    return frozenset(stems(parts[-1])) if len(parts) > 1 and depends(parts[-1]) else frozenset()


def _needed(followed_up: frozenset[str], to_exist: frozenset[str], candidates: list[_Candidate]) -> frozenset[str]:
    """Words of which a sentence must say one: of a follow-up's own those that are said at all; else, of what is asked
    to exist, the ones that are said least ("skis" in "Do you sell skis?", though nobody says it)."""
    said = {word: sum(_says(word, candidate) for candidate in candidates) for word in followed_up | to_exist}
    if answerable := frozenset(word for word in followed_up if said[word]):
        return answerable
    fewest = min((said[word] for word in to_exist), default=0)
    return frozenset(word for word in to_exist if said[word] == fewest)


def _says(word: str, candidate: _Candidate) -> bool:
    either = {word, concept_of(word)}
    return not all(map(either.isdisjoint, (candidate.meaning, candidate.answers)))


def _score(candidate: _Candidate, weights: dict[str, float], kinds: list[Kind], passage_score: float) -> float:
    named = [kind for kind in kinds if kind.answer.search(candidate.text)]
    implied = {kind.says for kind in named if kind.says}
    meaning = candidate.meaning | implied
    own = max(_covered(weights, meaning), 0.9 * _covered(weights, candidate.answers))
    near = _covered(weights, candidate.around | meaning | candidate.answers)
    if implied or RECORD.match(candidate.text):
        own = max(own, HEADED * _covered(weights, candidate.under | meaning))
    if own == 0 and near < 0.5:
        return 0.0
    score = 0.55 * own + 0.25 * near + 0.20 * passage_score
    for kind in kinds:
        score = min(1.0, score + kind.bonus) if kind in named else score * kind.miss
    return score


def _covered(weights: dict[str, float], meaning: frozenset[str]) -> float:
    """The share of the question's weight that is said: a word of the same concept counts for most of the word."""
    said = 0.0
    for word, weight in weights.items():
        if word in meaning:
            said += weight
        elif (concept := concept_of(word)) and concept in meaning:
            said += 0.8 * weight
    return said / sum(weights.values())
