"""Text as it is stored: normalised first, so that every span is a span of what the database holds."""

import re
import unicodedata

from knowledge.parsers.base import Block, Limits, Parsed, ParseError

_NEWLINES = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# PostgreSQL refuses NUL and lone surrogates; the others are invisible, so they can hide text from a reader
# or reorder it: controls, soft hyphen, zero-width, bidi controls, fillers, variation selectors, tags.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e01ef]"
)
_SPACES = re.compile("[ \t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_AROUND_NEWLINE = re.compile(" ?\n ?")
_INNER_SPACES = re.compile("(?<=\\S)[ \t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_BEFORE_NEWLINE = re.compile("(?<![ \t])[ \t]+\n")  # from the first one only, or a long run takes its square
_BLANK_LINES = re.compile("\n{3,}")
_UNTIDY = ("  ", " \n", "\n ", "\n\n\n")
_PRINTABLE_UNWANTED = re.compile("[\u034f\U000e0100-\U000e01ef]")


def clean(text: str, *, indented: bool = False) -> str:
    """NFC, newlines as "\\n", no invisible characters, runs of spaces as one, no space at a line's ends.

    With `indented`, spaces at the beginning of lines stay.
    """
    if not _is_tidy(text):
        text = _tidied(text, indented=indented)
    text = unicodedata.normalize("NFC", text)
    return text.lstrip("\n").rstrip() if indented else text.strip()


def _is_tidy(text: str) -> bool:
    """Whether tidying would change nothing, as with most text: told in a tenth of the time that it takes."""
    printable = text.replace("\n", "").isprintable()  # no controls, no invisible characters, no space but " "
    if not printable or any(untidy in text for untidy in _UNTIDY):
        return False
    return text.isascii() or not _PRINTABLE_UNWANTED.search(text)


def _tidied(text: str, *, indented: bool = False) -> str:
    text = _NEWLINES.sub("\n", text)
    text = _UNWANTED.sub("", text)
    if indented:
        text = _BEFORE_NEWLINE.sub("\n", _INNER_SPACES.sub(" ", text))
    else:
        text = _AROUND_NEWLINE.sub("\n", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text)


def one_line(text: str) -> str:
    """Cleaned text with its newlines as spaces, as a heading or a table cell needs it."""
    return clean(text).replace("\n\n", " ").replace("\n", " ")


class TextBuilder:
    """Collects blocks in reading order, cleans them, and knows the headings above each."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.length = 0
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._headings: list[tuple[int, str]] = []

    def add(
        self,
        text: str,
        kind: str = "paragraph",
        page: int | None = None,
        separator: str | None = None,
        *,
        indented: bool = False,
    ) -> None:
        """Append a block. Rows, items and notes follow their like on the next line, others after a blank one."""
        text = clean(text, indented=indented)
        if not text:
            return
        if self._blocks:
            same = kind == self._blocks[-1].kind and kind in ("row", "list", "footnote")
            if separator is None:
                separator = "\n" if same else "\n\n"
            self._parts.append(separator)
            self.length += len(separator)
        start, self.length = self.length, self.length + len(text)
        if self.length > self.limits.characters:
            raise ParseError(f"The document has more than {self.limits.characters:,} characters of text.")
        self._parts.append(text)
        path = tuple(title for _, title in self._headings)
        self._blocks.append(Block(start, self.length, kind, page, path))

    def heading(self, text: str, level: int, page: int | None = None) -> None:
        """Append a heading of `level` (1 is outermost); it ends all headings of its level and below."""
        text = one_line(text)
        if not text:
            return
        self._headings = [heading for heading in self._headings if heading[0] < level]
        self._headings.append((level, text))
        self.add(text, "heading", page)

    def parsed(self, pages: int | None = None) -> Parsed:
        return Parsed("".join(self._parts), tuple(self._blocks), pages)
