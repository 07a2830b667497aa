"""CSV: each row one line with its header names, "price: 20; name: boots"."""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from knowledge.parsers.base import Limits, Parsed, ParseError
from knowledge.parsers.encodings import decode
from knowledge.parsers.text import TextBuilder, one_line

DELIMITERS = ",;\t|"
SAMPLE_ROWS = 50
SAMPLE_CHARACTERS = 65536
MAX_HEADER = 80  # characters of a cell that may name a column
_SENTENCE = re.compile(r"(?:\S+\s+){2,}\w{4,}[.!]$")  # "Within sixty days.", not "No. of pcs."
MAX_TITLES = 5  # rows above a table; more of one cell each are a list


def read(path: str, limits: Limits) -> Parsed:
    text = decode(Path(path).read_bytes()).replace("\0", "").lstrip("\r\n ")
    csv.field_size_limit(max(len(text), 1))  # a field may be as large as the file
    delimiter, text = _delimiter(text)
    rows = _rows(text, delimiter)
    sample = list(itertools.islice(rows, SAMPLE_ROWS))
    if not sample:
        raise ParseError("The file holds no rows.")
    builder = TextBuilder(limits)
    titles = titles_of(sample)
    for row in sample[:titles]:
        builder.add(row_text(row, ()))
    sample = sample[titles:]
    header = header_of(sample)
    for number, row in enumerate(itertools.chain(sample[1:] if header else sample, rows)):
        if number >= limits.rows:
            raise ParseError(f"The file has more than {limits.rows:,} rows.")
        builder.add(row_text(row, header), "row")
    if not builder.length:
        builder.add(row_text(sample[0], ()), "row")
    return builder.parsed()


def titles_of(rows: Sequence[Sequence[str]]) -> int:
    """How many rows stand above the table: with one cell each, where the next one has several."""
    above = len(list(itertools.takewhile(lambda row: sum(map(bool, row)) == 1, rows)))
    return above if above < len(rows) and above <= MAX_TITLES else 0


def row_text(row: Sequence[str], header: Sequence[str]) -> str:
    """ "header: value; header: value", without the empty cells."""
    names = itertools.chain(header, itertools.repeat(""))
    return "; ".join(f"{name}: {value}" if name else value for name, value in zip(names, row, strict=False) if value)


def header_of(rows: Sequence[Sequence[str]], *, marked: bool = True) -> Sequence[str]:
    """The first row if it names columns: short words, over other rows that do not have them again.

    Where it is not `marked` by its look, two columns of words are taken for pairs ("Phone", "by appointment").
    """
    names, below = rows[0], [row for row in rows[1:SAMPLE_ROWS] if list(row) != list(rows[0])]
    first = [name for name in names if name]
    used = sum(1 for column in itertools.zip_longest(*rows[:SAMPLE_ROWS], fillvalue="") if any(column))
    if len(rows) < 2 or not first or len(first) < used - 1 or 2 * len(set(first)) <= len(first) > 1:
        return ()
    if any(len(name) > MAX_HEADER or _SENTENCE.search(name) for name in first):
        return ()
    if any(name and name == value for row in below for name, value in zip(names, row, strict=False)):
        return ()
    if any(map(_is_figure, first)) and not (_are_years(names) or (_is_scale(names) and not all(map(_is_scale, below)))):
        return ()
    if not marked and used == 2 and not any(_counts(names, below, column) for column in range(len(names))):
        return ()
    return names


def _counts(names: Sequence[str], below: Sequence[Sequence[str]], column: int) -> bool:
    """Whether a column has figures in every row, and none in its name."""
    values = [row[column] for row in below if len(row) > column and row[column]]
    has_figures = [any(map(str.isdigit, text)) for text in (names[column], *values)]
    return bool(values) and not has_figures[0] and all(has_figures[1:])


def _is_scale(row: Sequence[str]) -> bool:
    """Whether three or more figures in equal steps stand behind a word or nothing: sizes, hours."""
    figures = _figures(row)
    steps = {after - before for before, after in itertools.pairwise(figures)}
    return len(figures) > 2 and len(steps) == 1 and 0 not in steps


def _are_years(row: Sequence[str]) -> bool:
    """Whether years, one after the other, stand behind a word or nothing."""
    figures = _figures(row)
    steps = {after - before for before, after in itertools.pairwise(figures)}
    return steps in ({1}, {-1}) and all(1900 < year < 2100 for year in figures)


def _figures(row: Sequence[str]) -> list[int]:
    """The digits of all cells but the first; none where that is a figure too."""
    if row[0] and _is_figure(row[0]):
        return []
    return [int(digits[:9]) for cell in row[1:] if (digits := "".join(filter(str.isdecimal, cell)))]


def _is_figure(cell: str) -> bool:
    return not any(character.isalpha() for character in cell)


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    """Rows of one-line cells, without the empty rows."""
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
        cells = [one_line(cell) for cell in row]
        if any(cells):
            yield cells


def _delimiter(text: str) -> tuple[str, str]:
    """The delimiter, and the text without Excel's "sep=;" line that may say so."""
    if text[:4].lower() == "sep=" and text[4:5] in DELIMITERS and text[5:6] in "\r\n":
        return text[4], text[5:].lstrip("\r\n")
    return max(DELIMITERS, key=lambda delimiter: _fit(text[:SAMPLE_CHARACTERS], delimiter)), text


def _fit(sample: str, delimiter: str) -> tuple[float, int]:
    """How well a delimiter explains the sample: the share of rows of the commonest width above one; that width."""
    rows = itertools.islice(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter), SAMPLE_ROWS)
    widths = [len(row) for row in rows if row]
    wide = [width for width in widths if width > 1]
    if not wide:
        return 0.0, 0
    commonest = max(sorted(set(wide)), key=wide.count)
    return wide.count(commonest) / len(widths), commonest
