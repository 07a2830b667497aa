"""From lines with boxes to headings, paragraphs and lists in reading order. Lengths are in points, y grows upwards."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from statistics import median

from knowledge.parsers.csv import header_of, row_text
from knowledge.parsers.pdf_order import in_reading_order
from knowledge.parsers.pdf_shapes import Cell, Group, Line, Page
from knowledge.parsers.text import TextBuilder

MARGIN = 0.12  # of the page's height, at the top and at the bottom, is where page headers and footers are
REPEATED = 0.4  # of the pages: a header may stand on every other page
EDGE_GAP = 1.8  # times a line's height parts them from the text
MAX_EDGE_LINES = 4
LARGER = 1.15  # times the body's height makes a heading
LOOSER = 1.2  # times the usual distance of lines parts paragraphs
HEADING_CHARACTERS = 120
MAX_HEADING_LEVELS = 4
COLUMN_CHARACTERS = 25  # a line of a column of prose has at least so many; the cell of a table mostly fewer
_FIGURES = re.compile(r"\d+|^[ivxl]+$")
_ITEM = re.compile(r"(?:[•‣◦▪●○■□·–\-*]|\d{1,2}[.)]|[a-z][.)]|\([a-z\d]\))\s")
_COMPOUND = re.compile(r"\w+-\w+")
_CJK = re.compile("[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


def is_item(text: str) -> bool:
    """Whether a text begins like an item of a list: "• ", "2. ", "(a) "."""
    return bool(_ITEM.match(text))


def build(pages: Sequence[Page], builder: TextBuilder) -> None:
    """Add the text of all pages to the builder, without repeated page headers and footers."""
    bodies = _bodies(pages)
    style = _Style([line for body in bodies for line in body])
    previous: Line | None = None  # the last line of a paragraph that may go on overleaf
    for number, body in enumerate(bodies, 1):
        for group in in_reading_order(list(_tables_and_text(body, style))):
            if group.rows:
                _add_table(group, builder, number)
                previous = None
                continue
            level = style.level(group)
            text = style.join(group.lines)
            if level is not None:
                builder.heading(text, level, number)
            else:
                kind = "list" if is_item(text) else "paragraph"
                builder.add(text, kind, number, style.overleaf(previous, text))
            previous = group.lines[-1] if level is None else None


def _tables_and_text(lines: Sequence[Line], style: "_Style") -> Iterator[Group]:
    """Groups in the order of the lines; lines that are written across two columns are parted first."""
    text: list[Line] = []
    for divided, run in groupby(lines, lambda line: bool(line.cells)):
        together = list(run)
        if divided and _are_columns(together):
            for column in (0, 1):
                text += [_part(line, line.cells[column]) for line in together]
        elif divided and len(together) > 1:
            yield from style.groups(text)
            text = []
            yield Group.of(together, [[cell.text for cell in line.cells] for line in together])
        else:
            text += together
    yield from style.groups(text)


def _are_columns(lines: Sequence[Line]) -> bool:
    """Whether lines in two parts are prose in two columns: long parts, beginning at the same places."""
    if len(lines) < 4 or any(len(line.cells) != 2 for line in lines):
        return False
    aligned = all(
        max(edge) - min(edge) < 3 for edge in zip(*((c.left for c in line.cells) for line in lines), strict=True)
    )
    shortest = min(sum(len(line.cells[column].text) for line in lines) for column in (0, 1)) / len(lines)
    return aligned and shortest >= COLUMN_CHARACTERS


def _part(line: Line, cell: Cell) -> Line:
    return Line(cell.text, cell.left, line.bottom, cell.right, line.top, line.bold, False)


def _add_table(group: Group, builder: TextBuilder, page: int) -> None:
    rows = group.rows
    marked = group.lines[0].bold and not group.lines[1].bold
    header = header_of(rows, marked=marked) if len({len(row) for row in rows}) == 1 else ()
    for row in rows:
        builder.add(row_text(row, () if row is header else header), "row", page)


def _bodies(pages: Sequence[Page]) -> list[list[Line]]:
    """The pages' lines without what is repeated; with it, where there is nothing else, as in a set of labels."""
    bodies = [
        [line for index, line in enumerate(page.lines) if index not in dropped]
        for page, dropped in zip(pages, _repeated(pages), strict=True)
    ]
    return bodies if any(bodies) else [page.lines for page in pages]


def _repeated(pages: Sequence[Page]) -> list[set[int]]:
    """For each page, which of its lines (by index) are page headers and footers that other pages have too."""
    edges = [dict(_edges(page)) for page in pages]
    counts = Counter(key for edge in edges for key in set(edge.values()))
    least = max(2, REPEATED * len(pages))
    return [{index for index, key in edge.items() if counts[key] >= least or key[0] == "#"} for edge in edges]


def _edges(page: Page) -> Iterator[tuple[int, tuple[str, int, int]]]:
    """The lines that may be a page header or footer, with what they have in common with that of the next page."""
    bottoms = [line.bottom for line in page.lines]
    for downwards in (True, False):
        order = sorted(range(len(bottoms)), key=bottoms.__getitem__, reverse=downwards)
        for index in _edge(page, order):
            line = page.lines[index]
            yield index, (_FIGURES.sub("#", line.text), round(line.bottom / 4), round(line.height))


def _edge(page: Page, order: Sequence[int]) -> Sequence[int]:
    """Of lines from an edge of the page inwards, those in its margin that a gap parts from the text."""
    if not page.height:  # the lines' places are not known
        return order[:1] if len(order) > 3 else ()
    for taken, (index, following) in enumerate(pairwise(order), 1):
        line = page.lines[index]
        if taken > MAX_EDGE_LINES or MARGIN * page.height < line.bottom < (1 - MARGIN) * page.height:
            break
        if abs(line.bottom - page.lines[following].bottom) > EDGE_GAP * line.height:
            return order[:taken]
    return ()


class _Style:
    """What is usual in this document, from all its lines."""

    def __init__(self, lines: Sequence[Line]):
        weights: Counter[tuple[float, bool]] = Counter()
        for line in lines:
            weights[round(line.height, 1), line.bold] += len(line.text)
        height, self.bold = weights.most_common(1)[0][0] if weights else (12.0, False)
        self.bold_body, self.largest_body = 0.95 * height, LARGER * height  # a heading is higher
        ratios = [ratio for a, b in pairwise(lines) if 0.5 < (ratio := (a.bottom - b.bottom) / a.height) < 2.5]
        self.pitch = median(ratios) if ratios else 1.2
        self.farthest = max(self.pitch, 1.0) * LOOSER
        hyphened = (line.text for line in lines if "-" in line.text)
        self.compounds = {word.lower() for text in hyphened for word in _COMPOUND.findall(text)}
        larger = {round(line.height) for line in lines if self._is_heading(line)}
        self.levels = sorted(larger, reverse=True)

    def groups(self, lines: Iterable[Line]) -> Iterator[Group]:
        """Lines to paragraphs, in the order given."""
        group = Group()
        for line in lines:
            if group.lines and not self._continues(group, line):
                yield group
                group = Group()
            group.add(line)
        if group.lines:
            yield group

    def _continues(self, group: Group, line: Line) -> bool:
        last = group.lines[-1]
        height = last.height
        if not 0.87 < line.height / height < LARGER or is_item(line.text):
            return False
        if self._is_heading(last) != self._is_heading(line):
            return False
        distance = (last.bottom - line.bottom) / height
        if distance < 0.3:  # beside it
            return distance > -0.3 and line.left >= last.right
        return distance <= self.farthest and line.left < group.right and line.right > group.left

    def _is_heading(self, line: Line) -> bool:
        if line.height <= (self.bold_body if line.bold and not self.bold else self.largest_body):
            return False
        return len(line.text) <= HEADING_CHARACTERS and line.text[-1] not in ".,;" and any(map(str.isalpha, line.text))

    def level(self, group: Group) -> int | None:
        """The level of a heading by its size, largest first; None for other text."""
        if len(group.lines) > 3 or not all(self._is_heading(line) for line in group.lines):
            return None
        larger = sum(height > round(group.lines[0].height) for height in self.levels)
        return min(larger + 1, MAX_HEADING_LEVELS)

    def join(self, lines: Sequence[Line]) -> str:
        """One text: full lines run on, shorter ones keep their end, words parted by a hyphen are joined."""
        right = max(line.right for line in lines)
        width = right - min(line.left for line in lines)
        text = lines[0].text
        for line, following in pairwise(lines):
            if line.hyphen:
                text += self.hyphen(text, following.text) + following.text
            elif line.right < right - 0.2 * width and following.bottom < line.bottom - 0.3 * line.height:
                text += "\n" + following.text
            else:
                text += _space(text, following.text) + following.text
        return text + ("-" if lines[-1].hyphen else "")

    def hyphen(self, before: str, after: str) -> str:
        """Whether the hyphen between two lines is the word's own: "" or "-"."""
        word = re.search(r"\w*$", before)[0] + "-" + re.match(r"\w*", after)[0]  # type: ignore[index]
        own = word.lower() in self.compounds or not after[:1].islower() or word.startswith("self-")
        return "-" if own else ""

    def overleaf(self, previous: Line | None, text: str) -> str | None:
        """The separator after the last page's text: a space if a sentence goes on, None (as usual) if not."""
        if previous and not previous.hyphen and previous.text[-1] not in ".!?:;" and text[:1].islower():
            return " "
        return None


def _space(before: str, after: str) -> str:
    return "" if _CJK.match(before[-1:]) and _CJK.match(after) else " "
