"""Plain text, Markdown and reStructuredText: paragraphs are parted by blank lines; headings, lists, tables and code are
recognised."""

import re
from pathlib import Path

from knowledge.parsers.base import Limits, Parsed, ParseError
from knowledge.parsers.csv import row_text
from knowledge.parsers.encodings import decode
from knowledge.parsers.text import TextBuilder, clean

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*$")
_UNDERLINE = re.compile(r"(=+|-+)$")
_WAVES = re.compile(r"~{4,}$")
_ITEM = re.compile(r"(?:[-*+•]|\d{1,3}[.)]) ")
_FENCE = re.compile(r"(`{3,})[^`]*$|(~{3,})")
_DASHES = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$")
_BAR = re.compile(r"(?<!\\)\|")


def read(path: str, limits: Limits) -> Parsed:
    reader = _Reader(TextBuilder(limits))
    for line in clean(decode(Path(path).read_bytes()), indented=True).split("\n"):
        reader.take(line)
    reader.flush()
    if not reader.builder.length:
        raise ParseError("The file holds no text.")
    return reader.builder.parsed()


class _Reader:
    """Lines to blocks. `fence` is that of the code we are in, `header` that of the table."""

    def __init__(self, builder: TextBuilder):
        self.builder = builder
        self.paragraph: list[str] = []
        self.fence = ""
        self.header: list[str] = []

    def take(self, line: str) -> None:
        if self.fence:
            self._take_code(line)
            return
        line = line.strip()
        if self.header and "|" in line:
            self.builder.add(row_text(_cells(line), self.header), "row")
            return
        self.header = []
        if not self._is_heading(line) and not self._is_table(line):
            self._take_text(line)

    def flush(self) -> None:
        kind = "list" if self.paragraph and _ITEM.match(self.paragraph[0]) else "paragraph"
        self.builder.add("\n".join(self.paragraph), kind, indented=True)
        self.paragraph.clear()

    def _take_code(self, line: str) -> None:
        """Code keeps its indentation; a fence like the first, of at least its length, ends it."""
        bare = line.strip()
        if bare.startswith(self.fence) and not bare.strip(self.fence[0]):
            self.fence = ""
        if line:
            self.paragraph.append(line)
        else:
            self.flush()

    def _take_text(self, line: str) -> None:
        if fence := _FENCE.match(line):
            self.fence = fence[1] or fence[2]
        if not line:
            self.flush()
            return
        if _ITEM.match(line):
            self.flush()
        self.paragraph.append(line)

    def _is_heading(self, line: str) -> bool:
        """One after "#", or the line above one of "===", "---" or "~~~~", which may also stand above it."""
        if (heading := _HEADING.match(line)) and heading[2]:
            self.flush()
            self.builder.heading(heading[2], len(heading[1]))
            return True
        if len(line) < 3 or not (_UNDERLINE.match(line) or _WAVES.match(line)):
            return False
        if len(self.paragraph) == 2 and self.paragraph[0] == line and len(line) >= len(self.paragraph[1]):
            del self.paragraph[0]
        if len(self.paragraph) != 1 or (line[0] == "~" and len(line) < len(self.paragraph[0])):
            return False
        self.builder.heading(self.paragraph.pop(), {"=": 1, "-": 2, "~": 3}[line[0]])
        return True

    def _is_table(self, line: str) -> bool:
        """The dashes below the names of columns."""
        if "|" not in line or not self.paragraph or not _DASHES.match(line):
            return False
        names = _cells(self.paragraph[-1])
        if len(names) != len(_cells(line)):
            return False
        del self.paragraph[-1]
        self.flush()
        self.builder.add(row_text(names, ()), "row")
        self.header = names
        return True


def _cells(line: str) -> list[str]:
    """The cells of a table's row, whose outer bars may be left out."""
    line = line.removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(line)]
