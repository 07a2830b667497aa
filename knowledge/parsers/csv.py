"""CSV: each row one line with its header names, "price: 20; name: boots"."""

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from knowledge.parsers.base import Limits, Parsed, ParseError
from knowledge.parsers.encodings import decode
from knowledge.parsers.text import TextBuilder, one_line

DELIMITERS = ",;\t|"
SAMPLE_ROWS = 50
SAMPLE_CHARACTERS = 65536
MAX_HEADER = 80  # characters of a cell that may name a column
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
    titles = _titles(sample)
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


def _titles(rows: Sequence[Sequence[str]]) -> int:
    """How many rows stand above the table: with one cell each, where the next one has several."""
    above = len(list(itertools.takewhile(lambda row: sum(map(bool, row)) == 1, rows)))
    return above if above < len(rows) and above <= MAX_TITLES else 0


def row_text(row: Sequence[str], header: Sequence[str]) -> str:
    """ "header: value; header: value", without the empty cells."""
    names = itertools.chain(header, itertools.repeat(""))
    return "; ".join(f"{name}: {value}" if name else value for name, value in zip(names, row, strict=False) if value)


def header_of(rows: Sequence[Sequence[str]]) -> Sequence[str]:
    """The first row if it names columns: several short, different words with no figures, over other rows."""
    first = [cell for cell in rows[0] if cell]
    if len(rows) < 2 or not first or len(first) < len(rows[0]) - 1:
        return ()
    if len(set(first)) < len(first) or any(len(cell) > MAX_HEADER or _is_figure(cell) for cell in first):
        return ()
    return rows[0]


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
