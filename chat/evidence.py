"""Which sentences of the retrieved passages answer a question, judged by words, figures and the kind of question."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chat.concepts import concepts_of
from chat.sentences import sentences
from chat.words import stems

if TYPE_CHECKING:
    from knowledge.search import Passage

FLOOR = 0.40  # below it no sentence is shown; chosen on labelled shop questions, see tests/chat/test_extractive.py
MOST = 3

_UNIT = r"(?:minutes?|hours?|(?:business |working )?days?|weeks?|months?|years?|minuten?|stunden?|(?:werk|arbeits)?tagen?|wochen?|monaten?|jahren?|tage|monate|jahre|heures?|jours?|semaines?|mois|ans?|horas?|días?|dias|semanas?|mes(?:es)?|años?|anos|日|週|か?月|年|時間)"
_NUMBER = r"(?:\d+|one|two|three|four|five|six|seven|ten|twelve|fourteen|thirty|sixty|ninety|a|an|ein(?:e[nm]?)?|zwei|drei|vier|fünf|sechs|sieben|zehn|vierzehn|dreißig|deux|trois|quatre|cinq|sept|dix|quinze|trente|dos|tres|cuatro|cinco|siete|diez|quince|treinta)"
# (what the question asks for, what a sentence must hold to answer it)
_KINDS = tuple(
    (re.compile(question, re.I), re.compile(answer, re.I))
    for question, answer in (
        (
            r"\bhow (?:long|soon|fast|quick|many (?:hours|days|weeks|months|years))|\bwie lange?\b|\bwie schnell\b|\bcombien de (?:temps|jours)|\bcuánto (?:tiempo|tarda)|\bcuántos días|\bquanto tempo|\bdeadline\b|\bfrist\b|\bdélai\b|\bplazo\b",
            rf"\b{_NUMBER}[\s-]*{_UNIT}\b|\d\s*{_UNIT}",
        ),
        (
            r"\bhow much\b|\bcosts?\b|\bprices?\b|\bfees?\b|\bexpensive|\bkoste[tn]?\b|\bpreis|\bgebühr|\bwie ?viel\b|\bcoûte|\bcombien\b|\bprix\b|\bcuesta|\bprecio|\bcuánto\b|\bcusta\b|\bpreço",
            r"[€$£¥]\s*\d|\d\s*(?:[€$£¥%]|euros?|eur|usd|dollars?|pounds?|cents?|chf|franken)\b|\b(?:free|kostenlos|kostenfrei|gratis|gratuite?s?|gratuit[ao]?s?)\b",
        ),
        (
            r"\bwhat time\b|\b(?:opening|business) hours\b|\bopen\b|\bwann\b|\böffnungszeit|\bgeöffnet|\bhorario|\bhoraires|\bquelle heure|\bquand\b|\bcuándo\b|\bwhen\b",
            r"\b\d{1,2}(?::\d\d|\s*(?:am|pm|a\.m|p\.m|uhr|h\b))|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day|\b(?:mon|diens|donners|frei|sams|sonn)tag|\bmittwoch|\b(?:lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes|sábado|domingo)\b|\b(?:19|20)\d\d\b|\b(?:january|february|march|april|june|july|august|september|october|november|december)\b|\b\d+\s*(?:days?|hours?|weeks?)\b",
        ),
        (
            r"\bhow (?:many|big|large|old|far|tall|heavy|high|deep)\b|\bwie ?viele\b|\bcuánt[ao]s\b|\bquant[ao]s\b",
            r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|no limit|unlimited)\b",
        ),
        (
            r"\be-?mail|\bphone|\btelefon|\bcontact|\bcall you\b|\breach you|\bkontakt|\bteléfono|\bcontacto|\btéléphone|\bcontacter",
            r"\S+@\S+\.\w+|\+?\d[\d ()/-]{6,}\d|https?://|www\.",
        ),
    )
)


@dataclass(frozen=True)
class _Candidate:
    passage: int
    number: int
    text: str
    stems: frozenset[str]
    around: frozenset[str]  # what title, headings and the sentences before it are about


def best_sentences(question: str, passages: Sequence["Passage"]) -> list[tuple[int, int, str]]:
    """Up to three (index of passage, number of sentence, text), best first; [] when nothing answers well enough."""
    candidates = [each for index, passage in enumerate(passages) for each in _candidates(index, passage)]
    wanted = _meaning(question)
    if not candidates or not wanted:
        return []
    weights = _weights(wanted, candidates)
    kinds = [answer for asked, answer in _KINDS if asked.search(question)]
    scored = []
    for candidate in candidates:
        passage_score = min(1.0, max(0.0, float(passages[candidate.passage].score)))
        scored.append((_score(candidate, weights, kinds, passage_score), candidate))
    scored.sort(key=lambda pair: -pair[0])
    return [(each.passage, each.number, each.text) for each in _chosen(scored)]


def _chosen(scored: list[tuple[float, _Candidate]]) -> list[_Candidate]:
    best = scored[0][0]
    chosen: list[_Candidate] = []
    for score, candidate in scored:
        if score < FLOOR or score < 0.9 * best or len(chosen) == MOST:
            break
        if all(_overlap(candidate.stems, other.stems) < 0.6 for other in chosen):
            chosen.append(candidate)
    return chosen


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, min(len(one), len(other)))


def _meaning(text: str) -> frozenset[str]:
    """The words' stems, and the shop's concepts that they stand for ("send back" and "return" are one)."""
    words = stems(text)
    return frozenset(words) | concepts_of(words)


def _candidates(index: int, passage: "Passage") -> list[_Candidate]:
    """The sentences of a passage that can be quoted. A heading or a question (as in an FAQ) answers nothing itself; it
    tells what the next sentence is about."""
    about = _meaning(" ".join([passage.title, *passage.heading_path]))
    found: list[_Candidate] = []
    lead: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    for number, (start, end) in enumerate(sentences(passage.text)):
        text = passage.text[start:end]
        meaning = _meaning(text)
        if text.endswith(("?", "？", "؟")) or _is_heading(text):
            lead, before = meaning, frozenset()
            continue
        found.append(_Candidate(index, number, text, meaning, about | lead | before))
        before = meaning
    return found


def _is_heading(text: str) -> bool:
    return (
        len(text) < 60 and not text.endswith((".", "!", "。", ";", ",")) and not re.search(r"\d|:\s*\S|[|\t]|@", text)
    )


def _weights(wanted: frozenset[str], candidates: list[_Candidate]) -> dict[str, float]:
    """How much each wanted word tells: rare among the retrieved sentences tells more; in none of them, still something."""
    seen = Counter(word for candidate in candidates for word in candidate.stems & wanted)
    return {word: 0.5 + math.log(1 + len(candidates) / (1 + seen[word])) for word in wanted}


def _score(
    candidate: _Candidate, weights: dict[str, float], kinds: list[re.Pattern[str]], passage_score: float
) -> float:
    total = sum(weights.values())
    own = sum(weight for word, weight in weights.items() if word in candidate.stems) / total
    near = (
        sum(weight for word, weight in weights.items() if word in candidate.around or word in candidate.stems) / total
    )
    if own == 0 and near < 0.5:
        return 0.0
    score = 0.55 * own + 0.25 * near + 0.20 * passage_score
    if kinds:
        fits = any(kind.search(candidate.text) for kind in kinds)
        score = 0.75 * score + (0.25 if fits else 0.0)
    return score
