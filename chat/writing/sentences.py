"""Sentences of a passage as exact spans, so that what is quoted can be checked against the document."""

import re
from collections.abc import Iterator
from functools import lru_cache

LONGEST = 600  # characters; a longer "sentence" (a table, a legal clause) is cut between words

_ABBREVIATIONS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "no",
        "nr",
        "inc",
        "ltd",
        "co",
        "vs",
        "etc",
        "e.g",
        "i.e",
        "approx",
        "dept",
        "fig",
        "vol",
        "art",
        "sec",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "z.b",
        "d.h",
        "u.a",
        "bzw",
        "ca",
        "evtl",
        "ggf",
        "inkl",
        "exkl",
        "tel",
        "str",
        "abs",
        "zzgl",
        "usw",
        "vgl",
        "sr",
        "sra",
        "ud",
        "uds",
        "ej",
        "pág",
        "núm",
        "av",
        "m",
        "mme",
        "mlle",
    ]
)
_MONTH = re.compile(r"jan|feb|mär|apr|mai|jun|jul|aug|sep|okt|nov|dez", re.I)
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？｡]+[」』”）]*|[؟۔।]+(?=\s|$)|\n")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*•–·▪◦‣]|\d{1,3}[.)]|#{1,6}|\|)\s")
_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
_MEASURED = re.compile(r"\d\s?[hmgls]$", re.I)  # "open until 20 h." ends a sentence, "M." and "S." don't
_MARKER = re.compile(r"(?:[-*•–·▪◦‣]|#{1,6})\s+")
_ROW = re.compile(r"\t| \| |: .+[,;] .+: ")


@lru_cache(maxsize=512)  # the same passages answer many questions, and are cut for the prompt, the quotes and the marks
def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """Spans (start, end) of the sentences of `text`, in order, without the white space around them. Line breaks
    inside a wrapped paragraph don't end a sentence; list items, table rows and headings are sentences."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        if _ends_sentence(text, start, match):
            spans.extend(_trimmed(text, start, match.end()))
            start = match.end()
    spans.extend(_trimmed(text, start, len(text)))
    return tuple(spans)


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    if match.group() == "\n":
        return _breaks_line(text, match.start())
    if not match.group().startswith(".") or match.group().startswith(".."):
        return True
    word = text[max(start, match.start() - 12) : match.start()].split()[-1:]
    before = word[0].lstrip("(\"'").casefold() if word else ""
    short = before in _ABBREVIATIONS or (len(before) == 1 and before.isalpha())
    if short and not _MEASURED.search(text, max(start, match.start() - 4), match.start()):
        return False
    following = text[match.end() : match.end() + 6].lstrip()
    if before.isdigit() and (start == match.start() - len(before) or _MONTH.match(following)):
        return False  # "1. First step", "am 3. Mai"
    return not following[:1].islower()


def _breaks_line(text: str, at: int) -> bool:
    """Does the line break at `at` end a sentence, or is it only where a long line was wrapped?"""
    line_start = text.rfind("\n", 0, at) + 1
    line_end = text.find("\n", at + 1)
    line, following = text[line_start:at], text[at + 1 : line_end if line_end >= 0 else len(text)]
    if not following.strip() or not line.strip():
        return True
    if _FENCE.match(line) or _FENCE.match(following):
        return True
    if _LIST_ITEM.match(following) or _ROW.search(line) or _ROW.search(following) or line.lstrip().startswith("#"):
        return True
    # A wrapped line is about as long as the text is wide, and goes on with the next word; a short one was ended.
    return len(line) < 50 and not following.lstrip()[:1].islower() and not line.rstrip().endswith((",", "-"))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if marker := _MARKER.match(text, start, end):
        start = marker.end()
    while end - start > LONGEST:
        cut = text.rfind(" ", start + LONGEST // 2, start + LONGEST)
        cut = cut if cut > 0 else start + LONGEST
        yield start, cut
        start = cut + 1 if text[cut] == " " else cut
    if start < end:
        yield start, end
