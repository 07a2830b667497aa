"""Word's formulas (OMML) on one line: "(a+b)/2", "x^2", "√(7)"."""

from lxml import etree

from knowledge.parsers.docx_package import local
from knowledge.parsers.docx_styles import child, value

_PROPERTIES = "Pr"


def linear(element: etree._Element) -> str:
    """A formula, or a part of one."""
    name = local(element)
    if name == "t":
        return element.text or ""
    if name in _FORMS:
        return _FORMS[name](element)
    if name.endswith(_PROPERTIES):
        return ""
    return "".join(map(linear, element))


def _part(element: etree._Element, name: str) -> str:
    found = child(element, name)
    return "" if found is None else linear(found)


def _whole(text: str) -> str:
    """In parentheses, unless it is one number or name."""
    return text if text.replace(".", "").replace(",", "").isalnum() or not text else f"({text})"


def _fraction(element: etree._Element) -> str:
    return f" {_whole(_part(element, 'num'))}/{_whole(_part(element, 'den'))} "


def _scripts(element: etree._Element) -> str:
    """With what stands below and above it."""
    below, above = _part(element, "sub"), _part(element, "sup")
    return _part(element, "e") + (f"_{_whole(below)}" if below else "") + (f"^{_whole(above)}" if above else "")


def _root(element: etree._Element) -> str:
    degree = _part(element, "deg")
    return f"{degree}√({_part(element, 'e')})"


def _delimited(element: etree._Element) -> str:
    properties = child(element, "dPr")
    begin, end = value(properties, "begChr"), value(properties, "endChr")
    inner = ", ".join(linear(each) for each in element if local(each) == "e")
    return f"{'(' if begin is None else begin}{inner}{')' if end is None else end}"


def _sum(element: etree._Element) -> str:
    """A sum, a product or an integral, with its bounds."""
    sign = value(element, "naryPr", "chr") or "∫"
    below, above = _part(element, "sub"), _part(element, "sup")
    bounds = (f"_{_whole(below)}" if below else "") + (f"^{_whole(above)}" if above else "")
    return f"{sign}{bounds} {_part(element, 'e')}"


_FORMS = {
    "f": _fraction,
    "sSup": _scripts,
    "sSub": _scripts,
    "sSubSup": _scripts,
    "rad": _root,
    "d": _delimited,
    "nary": _sum,
}
