"""What a parsed document is. Imported by the child process as well, so nothing heavy is imported here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of structure: `text[start:end]` of the document, on `page` (from 1) where there are pages.

    `kind` is "heading", "paragraph", "list", "row" (of a table, with its header names) or "footnote".
    `heading_path` names the headings above it, outermost first; a heading's own text is the last of its path.
    """

    start: int
    end: int
    kind: str
    page: int | None
    heading_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document's text, normalised, and its blocks in order. `pages` is None for formats without pages."""

    text: str
    blocks: tuple[Block, ...]
    pages: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost. `seconds` of wall time (and of CPU), `memory` in bytes of address space."""

    seconds: float
    memory: int
    characters: int
    pages: int
    rows: int
    ocr_languages: str = ""  # as Tesseract names them, "eng+deu"
    ocr_data: str = ""  # the directory of their data


class ParseError(Exception):
    """The document cannot be read. The text is for the person who uploaded it: plain, with nothing internal."""


class NoTextLayer(ParseError):
    """The pages are pictures."""
