"""Marks in an answer under way -> numbered sources, each quoting the exact sentence that carries the claim.

A model marks a claim with the number of the passage, `[2]`; an adapter with native citations adds the sentence,
`[2#5]` (from 0). Visitors see `[k]`, where k counts sources in the order in which they first appear, so that
mark k belongs to the k-th of `sources()`. Marks that point nowhere are dropped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chat.writing.code import Code
from chat.writing.markdown import moves_code
from chat.writing.sentences import sentences
from chat.writing.support import crude, support
from knowledge.words import stemmed

if TYPE_CHECKING:
    from knowledge.search import Passage

# [1]  [1, 3]  [2-4]  [^1]  [2#5]  [Passage 2]  [Quelle 1, Quelle 3]  [cite: 1]  [[1]]  \[1\]  【1】  【1†source】
_NUMBER = r"\d{1,3}(?:#\d{1,4})?"
_WORDS = (
    "passages?|sources?|search results?|results?|documents?|docs?|references?|refs?|citations?|cite|"
    "quellen?|passagen?|abschnitte?|dokumente?|fuentes?|pasajes?|documentos?|fontes?|fonti|bron(?:nen)?|"
    "źródł[oa]|kaynak(?:lar)?|источники?|出典|資料|来源|资料|참고|출처|المصدر"
)
_LABEL = rf"(?:\^|{_WORDS})?[ \t#.:：]{{0,3}}"
_TO = r"[–—-]|\b(?:to|bis)\b"
_NEXT = rf"(?:\s?[,;&、，]\s?(?:and\s|und\s)?|\s?(?:{_TO})\s?|\s(?:and|und|et|y|e|en)\s)"
_SEVERAL = rf"{_NUMBER}(?:{_NEXT}{_LABEL}{_NUMBER}){{0,9}}"
_MARK = re.compile(
    rf"([ \t]*)(\[(?=\[))?\\?[\[【［]\s?{_LABEL}({_SEVERAL})(?:†[^\]】\n]{{0,20}})?\s?\\?[\]】］](?(2)\])", re.I
)
_PART = re.compile(rf"({_NUMBER})|{_TO}", re.I)
_OPENING = re.compile(r"[\[【［\\]")
_LONGEST_MARK = 80  # characters that are held back while they may still become a mark
_BEGUN = re.compile(rf"\\?(?:\[?\\?[\[【［][^\[\]【】［］]{{0,{_LONGEST_MARK}}}|\[\[[^\[\]]{{0,{_LONGEST_MARK}}}\]|)\Z")
_OPENED = re.compile(r"[\[【［][^\]】］\n]{0,12}$")
_CLAIM = 400  # characters before a mark in which its claim stands
PROVIDER_SAYS = 2.0  # above every support that we find ourselves
REPEATS = 0.6  # support from which on a sentence says the same as another


@dataclass
class _Source:
    """A passage that was cited, and its sentence that supports the claims best."""

    passage: "Passage"
    best: float = -1.0
    span: tuple[int, int] = (0, 0)

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        return sentences(self.passage.text) or ((0, len(self.passage.text)),)

    @cached_property
    def stems(self) -> list[frozenset[str]]:
        return [stemmed(self.passage.text[start:end]) for start, end in self.spans]

    def quote_best(self, claim: frozenset[str]) -> None:
        for span, words in zip(self.spans, self.stems, strict=True):
            score = support(claim, words)
            if score > self.best:
                self.best, self.span = score, span


@dataclass
class Citations:
    """Feed it the model's pieces; what it gives back holds whole marks only. Ask for `sources()` after `finish()`.

    `says_unanswered`: the model closed its answer with [0], "the passages don't answer this", whatever it cited before
    to say what they do speak of.
    """

    passages: Sequence["Passage"]
    _held: str = ""
    _space: str = ""  # before a mark that was dropped, for the one that may follow it directly
    _shown: str = ""  # the end of what was let out, without marks: where a claim is looked for
    _text: list[str] = field(default_factory=list)  # what was let out, without marks
    _whole: list[str] = field(default_factory=list)  # and with them
    _sources: dict[int, _Source] = field(default_factory=dict)  # by index in `passages`, in order of first mark
    _code: Code = field(default_factory=Code)
    _zero: bool = False  # [0] is somewhere
    _closed: bool = False  # and no source was cited after it

    @property
    def says_unanswered(self) -> bool:
        return self._closed

    def feed(self, piece: str) -> str:
        """What may be shown now; the rest is held back until it is clear whether a mark begins there."""
        text = self._held + piece
        cut = _safe_end(text)
        self._held = text[cut:]
        return self._turned(text[:cut])

    def finish(self) -> str:
        """What was held back; it has become no mark."""
        rest, self._held = self._held, ""
        return self._turned(rest)

    def sources(self) -> list[dict[str, Any]]:
        """The sources that the answer used, the k-th for mark [k], in the shape of the wire contract. An answer that
        carries no marks at all gets those passages that its sentences plainly repeat."""
        if not self._sources and not self._zero:
            self._attribute()
        return [_as_json(source) for source in self._sources.values()]

    def _turned(self, text: str) -> str:
        out: list[str] = []
        position = 0
        for match in _MARK.finditer(text):
            if match.end() - match.end(1) > _LONGEST_MARK:
                continue
            self._out(out, text[position : match.start()])
            position = match.end()
            if "#" not in match.group(3) and self._in_code():  # "choices[0]"; only a provider's marks have a "#"
                self._out(out, match.group())
                continue
            marks = self._marks(match.group(3))
            space = match.group(1) or self._space
            if not marks and self._shown.endswith("<"):
                space = space or " "  # "<[9]b" must not turn into "<b"
            elif not marks:
                self._space, space = space, ("," if _OPENED.search(self._shown) else "")  # nor "[1[9]]" into a mark
            self._let(out, space + marks)
        self._out(out, text[position:])
        return "".join(out)

    def _in_code(self) -> bool:
        return self._code.is_open() and not moves_code("".join(self._whole))

    def _let(self, out: list[str], text: str) -> None:
        out.append(text)
        self._whole.append(text)
        self._code.passed(text)

    def _out(self, out: list[str], text: str) -> None:
        if text:
            self._let(out, text)
            self._text.append(text)
            self._shown = (self._shown + text)[-_CLAIM:]
            self._space = ""

    def _marks(self, numbers: str) -> str:
        """`numbers` of passages, such as "1, 3" or "2-4" or "2#5", as visible marks."""
        marks: dict[str, None] = {}
        for passage, sentence in _parsed(numbers):
            if passage == 0:
                self._zero = self._closed = True
            if 1 <= passage <= len(self.passages):
                self._closed = False
                marks[self._cite(passage - 1, sentence)] = None
        return "".join(marks)

    def _cite(self, index: int, sentence: int | None) -> str:
        source = self._sources.setdefault(index, _Source(self.passages[index]))
        if sentence is None or sentence >= len(source.spans):
            source.quote_best(self._claim())
        elif source.best < PROVIDER_SAYS:  # of several sentences that the provider names, the first one stays
            source.best, source.span = PROVIDER_SAYS, source.spans[sentence]
        return f"[{list(self._sources).index(index) + 1}]"

    def _claim(self) -> frozenset[str]:
        """The words of the sentence that the mark closes."""
        spans = sentences(self._shown)
        return stemmed(self._shown[slice(*spans[-1])]) if spans else frozenset()

    def _attribute(self) -> None:
        """For each sentence of an answer without marks, the passage that says the same, if one does."""
        answer = "".join(self._text)
        words = crude(answer)
        near = {i: _Source(each) for i, each in enumerate(self.passages) if len(words & crude(each.text)) >= 3}
        for start, end in sentences(answer) if near else ():
            claim = stemmed(answer[start:end])
            scores = {i: max(support(claim, words) for words in source.stems) for i, source in near.items()}
            index = max(scores, key=scores.__getitem__)
            if scores[index] >= REPEATS:
                near[index].quote_best(claim)
                self._sources.setdefault(index, near[index])


def _safe_end(text: str) -> int:
    """Up to where `text` can't be the beginning of a mark (or of the white space before one)."""
    end = len(text)
    if _OPENING.search(text, max(0, end - _LONGEST_MARK - 2)):
        found = _BEGUN.search(text, max(0, end - _LONGEST_MARK - 2))
        end = found.start() if found else end
    while end > 0 and text[end - 1] in " \t":
        end -= 1
    return end


def _parsed(numbers: str) -> list[tuple[int, int | None]]:
    """The passages of "1, 3" or "2-4", and the sentence of "2#5"."""
    found: list[tuple[int, int | None]] = []
    to = False
    for part in _PART.finditer(numbers):
        if not part[1]:
            to = True
            continue
        number = _number(part[1])
        if to and found and found[-1][0] < number[0] <= found[-1][0] + 10:
            found += [(between, None) for between in range(found[-1][0] + 1, number[0])]
        found.append(number)
        to = False
    return found


def _number(text: str) -> tuple[int, int | None]:
    passage, _, sentence = text.strip().partition("#")
    return int(passage), int(sentence) if sentence else None


def _as_json(source: _Source) -> dict[str, Any]:
    passage, (start, end) = source.passage, source.span
    return {
        "documentId": passage.document_id,
        "title": passage.title,
        "excerpt": passage.text[start:end],
        "score": round(float(passage.score), 4),
        "chunkIndex": passage.index,
        "page": passage.page,
        "start": passage.start + start,
        "end": passage.start + end,
    }
