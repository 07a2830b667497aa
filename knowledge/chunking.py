"""Parsed text to passages: about 500 tokens with 50 of overlap, cut where a reader would pause.

One pass of the tokenizer over the whole document gives every token's place; all sizes are differences of
places. A cut is taken before a heading, else between blocks, else after a sentence, else between words,
else between graphemes.
"""

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

import regex

from knowledge import tokens
from knowledge.parsers.base import Block, Parsed

MAX_TOKENS = 500
OVERLAP_TOKENS = 50
SECTION_TOKENS = 200  # a passage of at least this size ends where a new section begins
FILLED_TOKENS = 250  # a passage at least half full ends between paragraphs or sentences rather than run on

# After a figure a full stop is rather that of "3.5" or of a numbered item.
_SENTENCE_END = regex.compile(r"(?:(?<!\d)\.|[!?…])+[\"'”’)\]]*(?=\s)|[。！？｡]+[」』”’）]*|(?=\n)")
_SENTENCE_START = regex.compile(r"(?:(?<!\d)[.!?…][\"'”’)\]]*\s+|[。！？｡][」』”’）]*\s*|\n)\K(?=[^\s。！？｡」』”’）])")
_LAST_SPACE = regex.compile(r"(?r)\s")
_WORD_START = regex.compile(r"\s\K(?=\S)")
_GRAPHEME = regex.compile(r"\X")
# Between letters the tokenizer's pattern always parts a text before the space, whatever is around it.
_FIRST_JOINT = regex.compile(r"(?<=\p{L}) (?=\p{L})")
_LAST_JOINT = regex.compile(r"(?r)(?<=\p{L}) (?=\p{L})")
_PARAGRAPH_START = re.compile(r"\n\s*\n\s*")


@dataclass(frozen=True, slots=True)
class Span:
    """A passage: `parsed.text[start:end] == text`, of `tokens` tokens, on pages `page_from` to `page_to` (from 1)."""

    index: int
    text: str
    start: int
    end: int
    tokens: int
    page_from: int | None
    page_to: int | None
    heading_path: tuple[str, ...]


def chunk(parsed: Parsed) -> list[Span]:
    """Cut a document into passages that overlap, in order; every character but white space is in one of them."""
    return _Cutter(parsed).spans()


class _Cutter:
    """One document being cut. Positions are characters; `places[i]` is where token i begins."""

    def __init__(self, parsed: Parsed):
        self.text = parsed.text
        self.blocks = parsed.blocks
        self.places = tokens.starts(parsed.text)
        self.block_starts = [block.start for block in parsed.blocks]
        after_heading = {b.start for a, b in pairwise(parsed.blocks) if a.kind == "heading"}
        new_lines = [start for start in self.block_starts if self.text[start - 1 : start] == "\n"]
        self.paragraphs = [start for start in new_lines if start not in after_heading]
        self.sections = [b.start for b in parsed.blocks if b.kind == "heading" and b.start not in after_heading]
        if not parsed.blocks:
            self.paragraphs = [match.end() for match in _PARAGRAPH_START.finditer(self.text)]

    def spans(self) -> list[Span]:
        spans: list[Span] = []
        fresh = start = self._skip_space(0)  # `fresh` is where the text begins that no passage has yet
        while fresh < len(self.text):
            end, size = self._end(start, fresh)
            if end <= fresh:  # the overlap leaves no room for what must stay whole
                start = fresh
                end, size = self._end(start, fresh)
            spans.append(self._span(len(spans), start, fresh, end, size))
            fresh = self._skip_space(end)
            start = self._overlap(start, end, fresh)
        return spans

    def _span(self, index: int, start: int, fresh: int, end: int, size: int) -> Span:
        first, own, last = self._block(start), self._block(fresh), self._block(end - 1)
        return Span(
            index=index,
            text=self.text[start:end],
            start=start,
            end=end,
            tokens=size,
            page_from=first.page if first else None,
            page_to=last.page if last else None,
            heading_path=own.heading_path if own else (),
        )

    def _end(self, start: int, fresh: int) -> tuple[int, int]:
        """Where a passage from `start` ends, and its exact size; an end at `fresh` or before means that none fits."""
        budget = MAX_TOKENS
        while True:
            end = self._trim(start, self._cut(start, fresh, budget))
            size = self._size(start, end)
            if size <= MAX_TOKENS or end <= fresh:
                return end, size
            budget -= size - MAX_TOKENS  # a text cut out of its context may have a few tokens more

    def _cut(self, start: int, fresh: int, budget: int) -> int:
        """The best place to end in reach of `budget` tokens."""
        reach = self._after(start, budget)
        section = _first(self.sections, max(fresh, self._after(start, SECTION_TOKENS) - 1))
        if section is not None and section <= reach:
            return section
        if reach == len(self.text):
            return reach
        whole = self._whole_row(reach)
        half = max(fresh, self._after(start, FILLED_TOKENS))
        paragraph = _last(self.paragraphs, reach)
        if paragraph is not None and paragraph > (fresh if whole else half):
            return paragraph
        if whole and start < fresh:
            return fresh
        return self._sentence_end(half, reach) or self._word_end(half, reach) or self._grapheme_end(start, fresh, reach)

    def _whole_row(self, position: int) -> bool:
        """Whether `position` lies in a row that one passage can hold."""
        block = self._block(position)
        return bool(block and block.kind == "row" and self._place(block.end) - self._place(block.start) <= MAX_TOKENS)

    def _sentence_end(self, low: int, reach: int) -> int | None:
        ends = [match.end() for match in _SENTENCE_END.finditer(self.text, low, reach + 1) if match.end() <= reach]
        return next((end for end in reversed(ends) if end > low and not self._in_heading(end)), None)

    def _word_end(self, low: int, reach: int) -> int | None:
        space = _LAST_SPACE.search(self.text, low, reach + 1)
        end = self._trim(low, space.start()) if space else low
        return end if end > low else None

    def _grapheme_end(self, start: int, fresh: int, reach: int) -> int:
        """The last grapheme boundary in reach; where one grapheme is larger than a passage, it is cut."""
        ends = [match.end() for match in _GRAPHEME.finditer(self.text, start, min(reach + 64, len(self.text)))]
        end = _last(ends, reach)
        return end if end is not None and end > fresh else max(reach, start + 1)

    def _overlap(self, start: int, end: int, fresh: int) -> int:
        """Where the next passage begins: at the earliest pause in the last OVERLAP_TOKENS tokens, or at `fresh`.

        A new section begins without overlap, and rows are only repeated whole.
        """
        low = max(start + 1, self._before(end, OVERLAP_TOKENS))
        block = self._block(end - 1)
        if fresh in self.sections or low >= end:
            return fresh
        own = self.block_starts[bisect_left(self.block_starts, low) :][:1]
        if block and block.kind == "row" and block.end <= end:
            return own[0] if own and own[0] < end else fresh
        sentence = _SENTENCE_START.search(self.text, low - 1, end)
        pauses = [*own, *([sentence.end()] if sentence else [])]
        if pauses and min(pauses) < end:
            return min(pauses)
        word = _WORD_START.search(self.text, low - 1, end)
        if word:
            return word.end()
        return next((m.start() for m in _GRAPHEME.finditer(self.text, start, end) if m.start() >= low), fresh)

    def _size(self, start: int, end: int) -> int:
        """Exactly `tokens.count(text[start:end])`, counting anew only what lies outside the outermost joints."""
        first = _FIRST_JOINT.search(self.text, start, end)
        last = _LAST_JOINT.search(self.text, start, end)
        if not first or not last or first.start() >= last.start():
            return tokens.count(self.text[start:end])
        inner = self._place(last.start()) - self._place(first.start())
        return tokens.count(self.text[start : first.start()]) + inner + tokens.count(self.text[last.start() : end])

    def _place(self, position: int) -> int:
        """How many tokens begin before `position`."""
        return int(self.places.searchsorted(position))

    def _after(self, position: int, count: int) -> int:
        """The position `count` tokens on, or the end."""
        place = self._place(position) + count
        return int(self.places[place]) if place < len(self.places) else len(self.text)

    def _before(self, position: int, count: int) -> int:
        return int(self.places[max(self._place(position) - count, 0)])

    def _block(self, position: int) -> Block | None:
        """The block at `position`, or that before it."""
        index = bisect_right(self.block_starts, position) - 1
        return self.blocks[index] if index >= 0 else None

    def _in_heading(self, end: int) -> bool:
        """Whether a cut at `end` would leave a heading, or a part of one, without its text."""
        block = self._block(end - 1)
        return bool(block and block.kind == "heading")

    def _skip_space(self, position: int) -> int:
        while position < len(self.text) and self.text[position].isspace():
            position += 1
        return position

    def _trim(self, start: int, end: int) -> int:
        while end > start and self.text[end - 1].isspace():
            end -= 1
        return end


def _first(positions: list[int], after: int) -> int | None:
    """The first of the sorted positions that is greater than `after`."""
    index = bisect_right(positions, after)
    return positions[index] if index < len(positions) else None


def _last(positions: list[int], most: int) -> int | None:
    """The last of the sorted positions that is at most `most`."""
    index = bisect_right(positions, most)
    return positions[index - 1] if index else None
