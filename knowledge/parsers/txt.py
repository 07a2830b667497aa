"""Plain text and Markdown: paragraphs are parted by blank lines, headings and lists are recognised."""

import re
from pathlib import Path

from knowledge.parsers.base import Limits, Parsed, ParseError
from knowledge.parsers.encodings import decode
from knowledge.parsers.text import TextBuilder, clean

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*$")
_UNDERLINE = re.compile(r"(=+|-+)$")
_ITEM = re.compile(r"(?:[-*+•]|\d{1,3}[.)]) ")
_FENCE = re.compile(r"```|~~~")


def read(path: str, limits: Limits) -> Parsed:
    lines = clean(decode(Path(path).read_bytes())).split("\n")
    builder = TextBuilder(limits)
    paragraph: list[str] = []
    fenced = False

    def flush() -> None:
        kind = "list" if paragraph and _ITEM.match(paragraph[0]) else "paragraph"
        builder.add("\n".join(paragraph), kind)
        paragraph.clear()

    for line in lines:
        if _FENCE.match(line):
            fenced = not fenced
        heading = None if fenced else _HEADING.match(line)
        if heading and heading[2]:
            flush()
            builder.heading(heading[2], len(heading[1]))
        elif not fenced and len(paragraph) == 1 and len(line) > 2 and _UNDERLINE.match(line):
            builder.heading(paragraph.pop(), 1 if line[0] == "=" else 2)
        elif not line:
            flush()
        else:
            if not fenced and _ITEM.match(line):
                flush()
            paragraph.append(line)
    flush()
    if not builder.length:
        raise ParseError("The file holds no text.")
    return builder.parsed()
