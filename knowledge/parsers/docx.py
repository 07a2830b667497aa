"""DOCX: the body in document order, by a walk over the XML of our own.

Kept: headings, lists, tables as rows, footnotes, content controls, text boxes, tracked insertions, formulas, SmartArt,
charts, the addresses of links, and documents that are taken in whole.
Left out: tracked deletions, comments, hidden text, field codes, tables of contents, page headers and footers.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from knowledge.parsers import docx_alternative, docx_drawings
from knowledge.parsers.base import Limits, Parsed, ParseError
from knowledge.parsers.csv import header_of, row_text, titles_of
from knowledge.parsers.docx_inline import NOTES, SKIPPED, Inline, alternative
from knowledge.parsers.docx_package import Package, attribute, local
from knowledge.parsers.docx_styles import Numbering, Styles, child, is_on, number, value
from knowledge.parsers.text import TextBuilder, one_line

MAX_COLUMNS = 200
LAYOUT_CELL = 1500  # characters; a table with a larger cell lays out text, it has no columns to name
MAX_TAKEN_IN = 100  # documents within the document
_PLAIN = (".txt", ".text")
_PAGES = (".htm", ".html", ".xhtml", ".mht", ".mhtml")
_WORD = (".docx", ".docm", ".dotx")


@dataclass(frozen=True, slots=True)
class Piece:
    """A block on its way to the builder; `level` only of a heading."""

    kind: str
    text: str
    level: int = 0


def read(path: str, limits: Limits) -> Parsed:
    with Package(path) as package:
        builder = TextBuilder(limits)
        for piece in Reader(package, limits).pieces():
            if piece.kind == "heading":
                builder.heading(piece.text, piece.level)
            else:
                builder.add(piece.text, piece.kind)
    if not builder.length:
        raise ParseError("The Word document holds no text.")
    return builder.parsed()


class Reader:
    def __init__(self, package: Package, limits: Limits, *, taken_in: bool = False):
        self.package = package
        self.limits = limits
        self.may_take_in = 0 if taken_in else MAX_TAKEN_IN
        self.initial = ""
        self.rows = 0
        self.styles = Styles(package.related("styles"))
        self.numbering = Numbering(package.related("numbering"))
        self.notes = {kind: _by_id(package.related(kind)) for kind in NOTES.values()}
        self.noted = 0

    def pieces(self) -> Iterator[Piece]:
        return self.blocks(self.package.main())  # its body, of which some programs write several

    def blocks(self, parent: etree._Element) -> Iterator[Piece]:
        """The blocks under an element, in document order."""
        for element in parent:
            name = local(element)
            if name == "p":
                yield from self.paragraph(element)
            elif name == "tbl":
                yield from self.table(element)
            elif name == "AlternateContent":
                yield from self.blocks(alternative(element))
            elif name == "altChunk":
                yield from self.taken_in(element)
            elif name and name not in SKIPPED:
                yield from self.blocks(element)

    def taken_in(self, element: etree._Element) -> Iterator[Piece]:
        """A document within this one, though none within that."""
        if not self.may_take_in:
            return
        self.may_take_in -= 1
        name, data = self.package.part(element)
        if name.lower().endswith(_PLAIN):
            yield from (Piece("paragraph", text) for text in docx_alternative.text_lines(data))
        elif name.lower().endswith(_PAGES):
            yield from (Piece(*block) for block in docx_alternative.page_blocks(data))
        elif name.lower().endswith(_WORD):
            with Package(io.BytesIO(data)) as package:
                yield from Reader(package, self.limits, taken_in=True).pieces()

    def paragraph(self, element: etree._Element) -> Iterator[Piece]:
        """The paragraph, then the text boxes anchored in it, then the notes it refers to."""
        if self.styles.is_contents(element):
            return
        inline = Inline(self, hidden=self.styles.hide and self.styles.hides(value(element, "pPr", "pStyle")))
        inline.walk(element)
        text = (self.initial + "".join(inline.text)).strip()
        self.initial = ""
        if _is_initial(element):
            self.initial = text
            return
        if text:
            level = self.styles.level(element)
            label = self.numbering.label(self.styles.properties(element))
            labelled = f"{label} {text}" if label else text
            if level is None:
                yield Piece("list" if label else "paragraph", labelled)
            else:
                yield Piece("heading", text if label == "-" else labelled, level)
        for box in inline.boxes:
            yield from self.blocks(box)
        for drawing in inline.drawings:
            yield from (Piece(kind, text) for kind, text in docx_drawings.lines(self.package, drawing))
        for mark, note in inline.notes:
            yield Piece("footnote", f"[{mark}] {self.flat(note)}")

    def table(self, element: etree._Element) -> Iterator[Piece]:
        """Each row as "header: value; header: value"; a table that only lays out text, as that text."""
        grid = list(_children(element, "tr"))
        if any(len(list(_children(row, "tc"))) > 1 for row in grid):
            rows = self._rows(grid)
            if not any(len(cell) > LAYOUT_CELL for row in rows for cell in row):
                declared = _is_on(grid[0], "trPr", "tblHeader")
                yield from _row_pieces(rows, declared, marked=self._is_marked(element, grid))
                return
        for row in grid:
            for cell in _children(row, "tc"):
                yield from self.blocks(cell)

    def _is_marked(self, table: etree._Element, grid: list[etree._Element]) -> bool:
        """Whether the first row looks unlike the second one, by itself or by the table's style."""
        if self.styles.marks_first_row(value(table, "tblPr", "tblStyle")):
            return True
        looks = [_look(list(_children(row, "tc"))[-1:]) for row in grid[:2]]  # the first cell may name the row
        return looks[:1] != looks[1:]

    def _rows(self, grid: list[etree._Element]) -> list[list[str]]:
        """Cells by column: one merged downwards has its text in each row, one merged sideways in its first column."""
        rows: list[list[str]] = []
        for tr in grid:
            self.rows += 1
            if self.rows > self.limits.rows:
                raise ParseError(f"The Word document has more than {self.limits.rows:,} table rows.")
            if child(tr, "trPr", "del") is not None:
                continue
            row: list[str] = [""] * min(number(value(tr, "trPr", "gridBefore")), MAX_COLUMNS)
            above = rows[-1] if rows else []
            for tc in _children(tr, "tc"):
                merge = child(tc, "tcPr", "vMerge")
                if merge is not None and attribute(merge, "val") != "restart" and len(row) < len(above):
                    row.append(above[len(row)])
                else:
                    row.append(self.flat(tc))
                span = number(value(tc, "tcPr", "gridSpan"), 1)
                row.extend([""] * min(span - 1, MAX_COLUMNS - len(row)))
            if any(row):
                rows.append(row)
        return rows

    def flat(self, element: etree._Element) -> str:
        """All text under an element on one line: of a cell with whatever is nested in it, or of a note."""
        return " ".join(text for piece in self.blocks(element) if (text := one_line(piece.text)))


def _row_pieces(rows: list[list[str]], declared: bool, *, marked: bool) -> Iterator[Piece]:
    titles = 0 if declared else titles_of(rows)
    yield from (Piece("row", row_text(row, ())) for row in rows[:titles])
    rows = rows[titles:]
    header = rows[0] if declared and len(rows) > 1 else header_of(rows, marked=marked) if rows else ()
    for row in rows[1:] if declared and header else rows:
        yield Piece("row", row_text(row, () if row is header else header))


def _look(cells: list[etree._Element]) -> list[object]:
    """What of a cell meets the eye: colour, style, bold letters."""
    for cell in cells:
        shade, paragraph = child(cell, "tcPr", "shd"), child(cell, "p")
        fill = None if shade is None else attribute(shade, "fill")
        bold = paragraph is not None and _is_on(paragraph, "r", "rPr", "b")
        return [fill, paragraph is not None and value(paragraph, "pPr", "pStyle"), bold]
    return []


def _is_initial(paragraph: etree._Element) -> bool:
    """Whether it is the first letter of the next paragraph, set large."""
    frame = child(paragraph, "pPr", "framePr")
    return frame is not None and attribute(frame, "dropCap") in ("drop", "margin")


def _by_id(root: etree._Element | None) -> dict[str | None, etree._Element]:
    """Notes that are text; the separators that Word keeps among them are not."""
    notes = root if root is not None else ()
    return {attribute(note, "id"): note for note in notes if attribute(note, "type") in (None, "normal")}


def _children(parent: etree._Element, name: str) -> Iterator[etree._Element]:
    """Rows of a table or cells of a row, also those inside content controls and tracked insertions."""
    for element in parent:
        if local(element) == name:
            yield element
        elif local(element) in ("sdt", "sdtContent", "ins", "customXml", "moveTo"):
            yield from _children(element, name)


def _is_on(element: etree._Element, *names: str) -> bool:
    found = child(element, *names)
    return found is not None and is_on(found)
