"""What is on a page of a PDF. Lengths are in points, y grows upwards."""

from dataclasses import dataclass, field


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
