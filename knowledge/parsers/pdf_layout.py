"""From lines with boxes to headings, paragraphs and lists in reading order. Lengths are in points, y grows upwards."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from statistics import median

from knowledge.parsers.csv import header_of, row_text
from knowledge.parsers.text import TextBuilder

MARGIN = 0.12  # of the page's height, at the top and at the bottom, is where page headers and footers are
REPEATED = 0.4  # of the pages: a header may stand on every other page
EDGE_GAP = 1.8  # times a line's height parts them from the text
MAX_EDGE_LINES = 4
LARGER = 1.15  # times the body's height makes a heading
LOOSER = 1.2  # times the usual distance of lines parts paragraphs
HEADING_CHARACTERS = 120
MAX_HEADING_LEVELS = 4
MAX_GROUPS = 1000  # on one page; ordering takes the square of their number
COLUMN_CHARACTERS = 25  # a line of a column of prose has at least so many; the cell of a table mostly fewer
_FIGURES = re.compile(r"\d+|^[ivxl]+$")
_ITEM = re.compile(r"(?:[•‣◦▪●○■□·–\-*]|\d{1,2}[.)]|[a-z][.)]|\([a-z\d]\))\s")
_COMPOUND = re.compile(r"\w+-\w+")
_CJK = re.compile("[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a line."""

    text: str
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and its box; `hyphen` if it ended in one, which is not in `text`.

    `cells` are its parts where wide gaps part it, else none.
    """

    text: str
    left: float
    bottom: float
    right: float
    top: float
    bold: bool
    hyphen: bool
    cells: tuple[Cell, ...] = ()

    @property
    def height(self) -> float:
        return max(self.top - self.bottom, 0.1)


@dataclass(frozen=True, slots=True)
class Page:
    """A page's height (0 where unknown) and its lines in the order of its content."""

    height: float
    lines: list[Line]


@dataclass(slots=True)
class Group:
    """Lines that belong together: a paragraph, an item, a heading, or a table with its rows of cells."""

    lines: list[Line] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    @property
    def left(self) -> float:
        return min(line.left for line in self.lines)

    @property
    def right(self) -> float:
        return max(line.right for line in self.lines)

    @property
    def top(self) -> float:
        return max(line.top for line in self.lines)

    @property
    def bottom(self) -> float:
        return min(line.bottom for line in self.lines)


def is_item(text: str) -> bool:
    """Whether a text begins like an item of a list: "• ", "2. ", "(a) "."""
    return bool(_ITEM.match(text))


def build(pages: Sequence[Page], builder: TextBuilder) -> None:
    """Add the text of all pages to the builder, without repeated page headers and footers."""
    repeated = _repeated(pages)
    bodies = [
        [line for index, line in enumerate(page.lines) if index not in dropped]
        for page, dropped in zip(pages, repeated, strict=True)
    ]
    style = _Style([line for body in bodies for line in body])
    previous: Line | None = None  # the last line of a paragraph that may go on overleaf
    for number, body in enumerate(bodies, 1):
        for group in _in_reading_order(list(_tables_and_text(body, style))):
            if group.rows:
                _add_table(group.rows, builder, number)
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
            yield Group(together, [[cell.text for cell in line.cells] for line in together])
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


def _add_table(rows: list[list[str]], builder: TextBuilder, page: int) -> None:
    header = header_of(rows) if len({len(row) for row in rows}) == 1 else ()
    for row in rows:
        builder.add(row_text(row, () if row is header else header), "row", page)


def _repeated(pages: Sequence[Page]) -> list[set[int]]:
    """For each page, which of its lines (by index) are page headers and footers that other pages have too."""
    edges = [dict(_edges(page)) for page in pages]
    counts = Counter(key for edge in edges for key in set(edge.values()))
    least = max(2, REPEATED * len(pages))
    return [{index for index, key in edge.items() if counts[key] >= least or key[0] == "#"} for edge in edges]


def _edges(page: Page) -> Iterator[tuple[int, tuple[str, int, int]]]:
    """The lines that may be a page header or footer, with what they have in common with that of the next page."""
    for sign in (-1, 1):
        order = sorted(range(len(page.lines)), key=lambda index: sign * page.lines[index].bottom)
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
            weights[(round(line.height, 1), line.bold)] += len(line.text)
        self.height, self.bold = weights.most_common(1)[0][0] if weights else (12.0, False)
        ratios = [ratio for a, b in pairwise(lines) if 0.5 < (ratio := (a.bottom - b.bottom) / a.height) < 2.5]
        self.pitch = median(ratios) if ratios else 1.2
        self.compounds = {word.lower() for line in lines for word in _COMPOUND.findall(line.text)}
        larger = {round(line.height) for line in lines if self._is_heading(line)}
        self.levels = sorted(larger, reverse=True)

    def groups(self, lines: Iterable[Line]) -> Iterator[Group]:
        """Lines to paragraphs, in the order given."""
        group = Group()
        for line in lines:
            if group.lines and not self._continues(group, line):
                yield group
                group = Group()
            group.lines.append(line)
        if group.lines:
            yield group

    def _continues(self, group: Group, line: Line) -> bool:
        last = group.lines[-1]
        if is_item(line.text) or not 0.87 < line.height / last.height < LARGER:
            return False
        if self._is_heading(last) != self._is_heading(line):
            return False
        distance = (last.bottom - line.bottom) / last.height
        beside = abs(distance) < 0.3 and line.left >= last.right
        below = 0.3 <= distance <= max(self.pitch, 1.0) * LOOSER and line.left < group.right and line.right > group.left
        return beside or below

    def _is_heading(self, line: Line) -> bool:
        if len(line.text) > HEADING_CHARACTERS or line.text[-1] in ".,;" or not any(map(str.isalpha, line.text)):
            return False
        return line.height > LARGER * self.height or (line.bold and not self.bold and line.height > 0.95 * self.height)

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


def _in_reading_order(groups: list[Group]) -> list[Group]:
    """The order of the content, which programs mostly write as it is read; by columns where it evidently is not."""
    if len(groups) > MAX_GROUPS:
        return groups
    jumps = any(_is_above(later, one) or _is_left(later, one) for one, later in pairwise(groups))
    return _by_place(groups) if jumps else groups


def _is_above(later: Group, one: Group) -> bool:
    """Whether `later` is above `one` in the same column."""
    shared = min(later.right, one.right) - max(later.left, one.left)
    return later.bottom >= one.top - 1 and shared > 0.5 * min(later.right - later.left, one.right - one.left)


def _is_left(later: Group, one: Group) -> bool:
    """Whether `later` is the column to the left of `one`."""
    shared = min(later.top, one.top) - max(later.bottom, one.bottom)
    return later.right <= one.left and shared > 0.5 * min(later.top - later.bottom, one.top - one.bottom)


def _by_place(groups: list[Group]) -> list[Group]:
    """Bands from top to bottom; in a run of bands with a common gutter, the left column before the right."""
    bands = _bands(groups)
    ordered: list[Group] = []
    while bands:
        run, gutter = bands[0], _gutter(bands[0])
        taken = 1
        while taken < len(bands) and (wider := _gutter(run + bands[taken])) is not None:
            run, gutter, taken = run + bands[taken], wider, taken + 1
        bands = bands[taken:]
        if gutter is None:
            ordered += sorted(run, key=lambda group: (-group.top, group.left))
        else:
            ordered += _by_place([group for group in run if group.right <= gutter])
            ordered += _by_place([group for group in run if group.right > gutter])
    return ordered


def _bands(groups: list[Group]) -> list[list[Group]]:
    """Groups that share some height, together."""
    bands: list[list[Group]] = []
    bottom = float("inf")
    for group in sorted(groups, key=lambda group: -group.top):
        if group.top <= bottom + 1:
            bands.append([])
            bottom = group.bottom
        bands[-1].append(group)
        bottom = min(bottom, group.bottom)
    return bands


def _gutter(groups: list[Group]) -> float | None:
    """An x that no group crosses, with groups on both sides."""
    right = float("-inf")
    for group in sorted(groups, key=lambda group: group.left):
        if right > float("-inf") and group.left > right + 4:
            return right
        right = max(right, group.right)
    return None
