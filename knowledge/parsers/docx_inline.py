"""The text of one paragraph of a Word document, and what hangs on it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml import etree

from knowledge.parsers.docx_math import linear
from knowledge.parsers.docx_package import attribute, local
from knowledge.parsers.docx_styles import child, is_on
from knowledge.parsers.symbols import readable, symbol

if TYPE_CHECKING:
    from knowledge.parsers.docx import Reader

SKIPPED = {"del", "moveFrom", "delText", "instrText", "delInstrText", "rPr", "pPr", "rt", "sdtPr", "sdtEndPr", "tblPr"}
NOTES = {"footnoteReference": "footnotes", "endnoteReference": "endnotes"}
_CHARACTERS = {"tab": " ", "ptab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_DRAWINGS = ("relIds", "chart")  # SmartArt, charts
_HYPERLINK = re.compile(r'\s*HYPERLINK\s+"([^"]+)"')
_HEX = re.compile("[0-9A-Fa-f]{1,6}")
_RAISED = str.maketrans("0123456789+-−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ")
_ADDRESSES = ("http://", "https://", "mailto:", "tel:")
MAX_ADDRESS = 500  # characters; a longer one is for programs only


@dataclass
class _Field:
    """`first` is the piece of text that it begins with."""

    first: int
    order: str = ""


class Inline:
    """The text of one paragraph, and what hangs on it."""

    def __init__(self, reader: "Reader", *, hidden: bool):
        self.reader = reader
        self.hidden = hidden
        self.text: list[str] = []
        self.boxes: list[etree._Element] = []
        self.drawings: list[etree._Element] = []
        self.notes: list[tuple[int, etree._Element]] = []
        self.fields: list[_Field] = []  # those that we are in, outermost first

    def walk(self, parent: etree._Element) -> None:
        for element in parent:
            name = local(element)
            if name == "t":
                self.text.append(readable(element.text or ""))
            elif name == "r":
                self._run(element)
            elif name in _CHARACTERS:
                self.text.append(_CHARACTERS[name])
            elif name == "txbxContent":
                self.boxes.append(element)
            elif name in NOTES:
                self._note(element, NOTES[name])
            elif name == "AlternateContent":
                self.walk(alternative(element))
            elif name == "hyperlink":
                self._link(element)
            elif name == "fldChar":
                self._field(attribute(element, "fldCharType"))
            elif name == "instrText":
                self._order(element.text or "")
            elif name in _DRAWINGS:
                self.drawings.append(element)
            elif name == "oMath":
                self.text.append(linear(element))
            elif name == "sym":
                code = attribute(element, "char") or ""
                self.text.append(symbol(attribute(element, "font") or "", int(code, 16) if _HEX.fullmatch(code) else 0))
            elif name and name not in SKIPPED:
                self.walk(element)

    def _run(self, run: etree._Element) -> None:
        """Text of one look. What is raised behind a figure stays so: 10³ is not 103."""
        properties = child(run, "rPr")
        look = {local(each): each for each in properties} if properties is not None else {}
        if (self.hidden or self.reader.styles.hide or "vanish" in look) and self._is_hidden(look):
            return
        if "vertAlign" not in look or attribute(look["vertAlign"], "val") != "superscript":
            self.walk(run)
            return
        first = len(self.text)
        before = next((piece[-1] for piece in reversed(self.text) if piece), "")
        self.walk(run)
        if before.isdigit():
            self.text[first:] = [piece.translate(_RAISED) for piece in self.text[first:]]

    def _is_hidden(self, look: dict[str, etree._Element]) -> bool:
        if "vanish" in look:
            return is_on(look["vanish"])
        return self.hidden or ("rStyle" in look and self.reader.styles.hides(attribute(look["rStyle"], "val")))

    def _link(self, element: etree._Element) -> None:
        first = len(self.text)
        self.walk(element)
        self._lead_to(self.reader.package.link(element), first)

    def _field(self, mark: str | None) -> None:
        """A field is an order to Word ("HYPERLINK …") and its result; what stands in the order is not shown."""
        if mark == "begin":
            self.fields.append(_Field(len(self.text)))
        elif mark == "separate" and self.fields:
            del self.text[self.fields[-1].first :]
        elif mark == "end" and self.fields:
            field = self.fields.pop()
            if link := _HYPERLINK.match(field.order):
                self._lead_to(link[1], field.first)

    def _order(self, text: str) -> None:
        if self.fields:
            self.fields[-1].order += text

    def _lead_to(self, address: str, first: int) -> None:
        """Where the text from piece `first` leads, unless it says so itself."""
        text = "".join(self.text[first:])
        shown = address.removeprefix("mailto:").removeprefix("tel:").partition("?subject=")[0]
        if not address.lower().startswith(_ADDRESSES) or len(address) > MAX_ADDRESS or not text.strip():
            return
        if _bare(shown) not in _bare(text):
            self.text.append(f" ({shown})")

    def _note(self, element: etree._Element, kind: str) -> None:
        note = self.reader.notes[kind].pop(attribute(element, "id"), None)  # once, or it might refer to itself
        if note is not None:
            self.reader.noted += 1
            self.text.append(f" [{self.reader.noted}]")
            self.notes.append((self.reader.noted, note))


def _bare(address: str) -> str:
    """What of an address people write."""
    return address.lower().removeprefix("https://").removeprefix("http://").removeprefix("www.").rstrip("/")


def alternative(element: etree._Element) -> etree._Element:
    """Of content given in several ways, the first that has text: a text box is given as a new and an old drawing."""
    for option in element:
        if any(local(each) == "t" and each.text for each in option.iter()):
            return option
    return element[0] if len(element) else element
