"""What a Word paragraph's style and numbering mean: heading level, and the label of a list item."""

import re
from collections import defaultdict

from lxml import etree

from knowledge.parsers.docx_package import attribute, local

_HEADING = re.compile(r"heading ?([1-9])$", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"%([1-9])")
_ROMAN = tuple(zip((100, 90, 50, 40, 10, 9, 5, 4, 1), ("c", "xc", "l", "xl", "x", "ix", "v", "iv", "i"), strict=True))
MAX_NUMBER = 100_000


def child(element: etree._Element | None, *names: str) -> etree._Element | None:
    """The descendant down a path of local names."""
    for name in names:
        if element is None:
            return None
        element = next((each for each in element if local(each) == name), None)
    return element


def value(element: etree._Element | None, *names: str) -> str | None:
    """The `val` of the descendant down a path of local names."""
    found = child(element, *names)
    return None if found is None else attribute(found, "val")


def number(text: str | None, default: int = 0) -> int:
    """A whole number out of a file, within sane bounds."""
    return min(int(text), MAX_NUMBER) if text and text.isascii() and text.isdigit() and len(text) < 10 else default


def is_on(element: etree._Element) -> bool:
    """Whether a property that is there is not turned off."""
    return attribute(element, "val") not in ("0", "false", "off")


class Styles:
    """Paragraph styles by id, each with its ancestors' properties."""

    def __init__(self, root: etree._Element | None):
        styles = [style for style in (root if root is not None else ()) if local(style) == "style"]
        self._styles = {attribute(style, "styleId") or "": style for style in styles}

        hiding = {key: child(style, "rPr", "vanish") for key, style in self._styles.items()}
        self._hiding = {key: is_on(vanish) for key, vanish in hiding.items() if vanish is not None}
        self.hide = any(self._hiding.values())

    def marks_first_row(self, style_id: str | None) -> bool:
        """Whether a table's style gives its first row a look of its own."""
        parts = (each for style in self._chain(style_id) for each in style if local(each) == "tblStylePr")
        return any(attribute(part, "type") == "firstRow" for part in parts)

    def hides(self, style_id: str | None) -> bool:
        """Whether text of this style is hidden."""
        styles = (attribute(style, "styleId") or "" for style in self._chain(style_id))
        return next((self._hiding[style] for style in styles if style in self._hiding), False)

    def properties(self, paragraph: etree._Element) -> list[etree._Element]:
        """The paragraph's own properties, then those of its style and the styles that is based on."""
        own = child(paragraph, "pPr")
        chain = [own] if own is not None else []
        return chain + [p for style in self._chain(value(own, "pStyle")) if (p := child(style, "pPr")) is not None]

    def level(self, paragraph: etree._Element) -> int | None:
        """0 for the title, 1 to 9 for a heading, None for other text."""
        style_id = value(paragraph, "pPr", "pStyle") or ""
        for name in [style_id, *(value(style, "name") or "" for style in self._chain(style_id))]:
            if heading := _HEADING.match(name):
                return int(heading[1])
            if name.lower() == "title":
                return 0
        outline = next((v for p in self.properties(paragraph) if (v := value(p, "outlineLvl")) is not None), None)
        return number(outline) + 1 if outline in tuple("012345678") else None

    def is_contents(self, paragraph: etree._Element) -> bool:
        """Whether it is a line of a table of contents, which only repeats headings."""
        styles = self._chain(value(paragraph, "pPr", "pStyle"))
        return any((value(style, "name") or "").lower().startswith("toc ") for style in styles)

    def _chain(self, style_id: str | None) -> list[etree._Element]:
        chain: list[etree._Element] = []
        while style_id in self._styles and len(chain) < 12:  # a style may be based on itself in a damaged file
            chain.append(self._styles[style_id])
            style_id = value(chain[-1], "basedOn")
        return chain


class Numbering:
    """The labels of list items ("-", "3.", "4.2"), counted as they are met."""

    def __init__(self, root: etree._Element | None):
        children = list(root) if root is not None else []
        abstract = {attribute(each, "abstractNumId"): each for each in children if local(each) == "abstractNum"}
        self._lists = {
            attribute(each, "numId"): abstract.get(value(each, "abstractNumId"))
            for each in children
            if local(each) == "num"
        }
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0] * 9)

    def label(self, properties: list[etree._Element]) -> str | None:
        """The label of a paragraph with these properties, None where it is no list item."""
        numbered = [p for each in properties if (p := child(each, "numPr")) is not None]
        list_id = next((v for p in numbered if (v := value(p, "numId"))), None)
        if list_id in (None, "0") or list_id not in self._lists:
            return None if list_id in (None, "0") else "-"
        level = min(number(next((v for p in numbered if (v := value(p, "ilvl"))), "0")), 8)
        counts = self._counts[list_id]
        definition = self._level(list_id, level)
        counts[level] = counts[level] + 1 if counts[level] else number(value(definition, "start"), 1)
        counts[level + 1 :] = [0] * (8 - level)
        if definition is None or value(definition, "numFmt") in ("bullet", "none", None):
            return "-"
        return _PLACEHOLDER.sub(
            lambda match: self._figure(list_id, int(match[1]) - 1), value(definition, "lvlText") or ""
        )

    def _level(self, list_id: str, level: int) -> etree._Element | None:
        definition = self._lists.get(list_id)
        levels = definition if definition is not None else ()
        return next((each for each in levels if attribute(each, "ilvl") == str(level)), None)

    def _figure(self, list_id: str, level: int) -> str:
        count = max(self._counts[list_id][level], 1)
        return _formatted(count, value(self._level(list_id, level), "numFmt") or "decimal")


def _formatted(count: int, style: str) -> str:
    if style.endswith("Letter"):
        text = "abcdefghijklmnopqrstuvwxyz"[(count - 1) % 26] * min((count - 1) // 26 + 1, 10)
    elif style.endswith("Roman"):
        text, rest = "", min(count, 399)
        for size, letters in _ROMAN:
            text += letters * (rest // size)
            rest %= size
    else:
        return str(count)
    return text.upper() if style.startswith("upper") else text
