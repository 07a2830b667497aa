"""DOCX: the body in document order, by a walk over the XML of our own.

Kept: headings, lists, tables as rows, footnotes, content controls, text boxes, tracked insertions.
Left out: tracked deletions, comments, hidden text, field codes, tables of contents, page headers and footers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from knowledge.parsers.base import Limits, Parsed, ParseError
from knowledge.parsers.csv import header_of, row_text
from knowledge.parsers.docx_package import Package, attribute, local
from knowledge.parsers.docx_styles import Numbering, Styles, child, number, value
from knowledge.parsers.text import TextBuilder, one_line

MAX_COLUMNS = 200
LAYOUT_CELL = 1500  # characters; a table with a larger cell lays out text, it has no columns to name
_SKIPPED = {"del", "moveFrom", "delText", "instrText", "delInstrText", "rPr", "pPr", "rt", "sdtPr", "sdtEndPr", "tblPr"}
_CHARACTERS = {"tab": " ", "ptab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_NOTES = {"footnoteReference": "footnotes", "endnoteReference": "endnotes"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A block on its way to the builder; `level` only of a heading."""

    kind: str
    text: str
    level: int = 0


def read(path: str, limits: Limits) -> Parsed:
    with Package(path) as package:
        reader = _Reader(package, limits)
        builder = TextBuilder(limits)
        for piece in reader.blocks(package.main()):  # its body, of which some programs write several
            if piece.kind == "heading":
                builder.heading(piece.text, piece.level)
            else:
                builder.add(piece.text, piece.kind)
    if not builder.length:
        raise ParseError("The Word document holds no text.")
    return builder.parsed()


class _Reader:
    def __init__(self, package: Package, limits: Limits):
        self.limits = limits
        self.rows = 0
        self.styles = Styles(package.related("styles"))
        self.numbering = Numbering(package.related("numbering"))
        self.notes = {kind: _by_id(package.related(kind)) for kind in _NOTES.values()}
        self.noted = 0

    def blocks(self, parent: etree._Element) -> Iterator[Piece]:
        """The blocks under an element, in document order."""
        for element in parent:
            name = local(element)
            if name == "p":
                yield from self.paragraph(element)
            elif name == "tbl":
                yield from self.table(element)
            elif name == "AlternateContent":
                yield from self.blocks(_alternative(element))
            elif name and name not in _SKIPPED:
                yield from self.blocks(element)

    def paragraph(self, element: etree._Element) -> Iterator[Piece]:
        """The paragraph, then the text boxes anchored in it, then the notes it refers to."""
        if self.styles.is_contents(element):
            return
        inline = _Inline(self)
        inline.walk(element)
        text = "".join(inline.text).strip()
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
        for mark, note in inline.notes:
            yield Piece("footnote", f"[{mark}] {self.flat(note)}")

    def table(self, element: etree._Element) -> Iterator[Piece]:
        """Each row as "header: value; header: value"; a table that only lays out text, as that text."""
        grid = list(_children(element, "tr"))
        if any(len(list(_children(row, "tc"))) > 1 for row in grid):
            rows = self._rows(grid)
            if not any(len(cell) > LAYOUT_CELL for row in rows for cell in row):
                yield from self._row_pieces(rows, bool(grid) and _is_on(grid[0], "trPr", "tblHeader"))
                return
        for row in grid:
            for cell in _children(row, "tc"):
                yield from self.blocks(cell)

    def _row_pieces(self, rows: list[list[str]], declared: bool) -> Iterator[Piece]:
        header = rows[0] if declared and len(rows) > 1 else header_of(rows) if rows else ()
        for row in rows[1:] if declared and header else rows:
            yield Piece("row", row_text(row, () if row is header else header))

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


class _Inline:
    """The text of one paragraph, and what hangs on it."""

    def __init__(self, reader: _Reader):
        self.reader = reader
        self.text: list[str] = []
        self.boxes: list[etree._Element] = []
        self.notes: list[tuple[int, etree._Element]] = []

    def walk(self, parent: etree._Element) -> None:
        for element in parent:
            name = local(element)
            if name == "t":
                self.text.append(element.text or "")
            elif name in _CHARACTERS:
                self.text.append(_CHARACTERS[name])
            elif name == "txbxContent":
                self.boxes.append(element)
            elif name in _NOTES:
                self._note(element, _NOTES[name])
            elif name == "AlternateContent":
                self.walk(_alternative(element))
            elif name and name not in _SKIPPED and not (name == "r" and _is_on(element, "rPr", "vanish")):
                self.walk(element)

    def _note(self, element: etree._Element, kind: str) -> None:
        note = self.reader.notes[kind].pop(attribute(element, "id"), None)  # once, or it might refer to itself
        if note is not None:
            self.reader.noted += 1
            self.text.append(f" [{self.reader.noted}]")
            self.notes.append((self.reader.noted, note))


def _by_id(root: etree._Element | None) -> dict[str | None, etree._Element]:
    """Notes that are text; the separators that Word keeps among them are not."""
    notes = root if root is not None else ()
    return {attribute(note, "id"): note for note in notes if attribute(note, "type") in (None, "normal")}


def _alternative(element: etree._Element) -> etree._Element:
    """Of content given in several ways, the first that has text: a text box is given as a new and an old drawing."""
    for option in element:
        if any(local(each) == "t" and each.text for each in option.iter()):
            return option
    return element[0] if len(element) else element


def _children(parent: etree._Element, name: str) -> Iterator[etree._Element]:
    """Rows of a table or cells of a row, also those inside content controls and tracked insertions."""
    for element in parent:
        if local(element) == name:
            yield element
        elif local(element) in ("sdt", "sdtContent", "ins", "customXml", "moveTo"):
            yield from _children(element, name)


def _is_on(element: etree._Element, *names: str) -> bool:
    found = child(element, *names)
    return found is not None and attribute(found, "val") not in ("0", "false", "off")
