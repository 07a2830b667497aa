"""What is on a page of a PDF. Lengths are in points, y grows upwards."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Cell(NamedTuple):
    """A part of a line."""

    text: str
    left: float
    right: float


class Line(NamedTuple):
    """A line of text and its box; `hyphen` if it ended in one, which is not in `text`.

    `cells` are its parts where wide gaps part it, else none. (A book has 20,000 lines; tuples are made fastest.)
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
        height = self.top - self.bottom
        return 0.1 if height < 0.1 else height


@dataclass(frozen=True, slots=True)
class Page:
    """A page's height (0 where unknown) and its lines in the order of its content."""

    height: float
    lines: list[Line]


class Group:
    """Lines that belong together: a paragraph, an item, a heading, or a table with its rows of cells.

    `left`, `bottom`, `right` and `top` are the box around all its lines.
    """

    __slots__ = ("bottom", "left", "lines", "right", "rows", "top")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.rows: list[list[str]] = []
        self.left = self.bottom = math.inf
        self.right = self.top = -math.inf

    @staticmethod
    def of(lines: Iterable[Line], rows: list[list[str]]) -> "Group":
        group = Group()
        for line in lines:
            group.add(line)
        group.rows = rows
        return group

    def add(self, line: Line) -> None:
        self.lines.append(line)
        if line.left < self.left:
            self.left = line.left
        if line.right > self.right:
            self.right = line.right
        if line.bottom < self.bottom:
            self.bottom = line.bottom
        if line.top > self.top:
            self.top = line.top
