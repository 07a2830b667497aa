"""The text of what Word draws from data: SmartArt as a list, charts as the rows of a table."""

from collections import defaultdict
from collections.abc import Iterator

from lxml import etree

from knowledge.parsers.csv import row_text
from knowledge.parsers.docx_package import Package, attribute, local
from knowledge.parsers.docx_styles import child

MAX_POINTS = 10_000  # of one drawing


def lines(package: Package, element: etree._Element) -> Iterator[tuple[str, str]]:
    """Kind ("list", "paragraph" or "row") and text of what stands in a drawing's part of the package."""
    if local(element) == "relIds":
        root = package.xml(element, "dm")
        yield from (("list", f"- {text}") for text in _art(root)) if root is not None else ()
    else:
        root = package.xml(element)
        yield from _chart(root) if root is not None else ()


def _art(root: etree._Element) -> Iterator[str]:
    """The texts of SmartArt, each before those below it."""
    points = {attribute(each, "modelId"): each for each in root.iter() if local(each) == "pt"}
    below: dict[str | None, list[tuple[int, str | None]]] = defaultdict(list)
    for each in root.iter():
        if local(each) == "cxn" and attribute(each, "type") in (None, "parOf"):
            order = attribute(each, "srcOrd") or ""
            below[attribute(each, "srcId")].append((int(order) if order.isdecimal() else 0, attribute(each, "destId")))
    waiting = [key for key, point in reversed(points.items()) if attribute(point, "type") == "doc"] or list(points)
    while waiting:
        key = waiting.pop()
        point = points.pop(key, None)  # once, or a damaged one might lead back to itself
        if point is None:
            continue
        text = " ".join(each.text or "" for each in _under(child(point, "t"), "t"))
        if text.strip() and attribute(point, "type") in (None, "node", "asst"):
            yield text
        waiting += [below_it for _, below_it in sorted(below[key], key=lambda one: one[0], reverse=True)]


def _chart(root: etree._Element) -> Iterator[tuple[str, str]]:
    """The title, then "category; series: value; series: value"."""
    chart = child(root, "chart")
    title = "".join(each.text or "" for each in _under(child(chart, "title"), "t"))
    if title:
        yield "paragraph", title
    names, rows = [""], defaultdict[str, list[str]](list)
    for series in _under(chart, "ser"):
        names.append(" ".join(_values(child(series, "tx")).values()))
        categories = _values(_first(series, "cat", "xVal"))
        for place, figure in _values(_first(series, "val", "yVal", "bubbleSize")).items():
            row = rows[place]
            row[:1] = [categories.get(place, "") or "".join(row[:1])]
            row += [""] * (len(names) - 1 - len(row)) + [_figure(figure)]
    yield from (("row", row_text(row, names)) for row in rows.values())


def _first(element: etree._Element, *names: str) -> etree._Element | None:
    return next((each for each in element if local(each) in names), None)


def _values(element: etree._Element | None) -> dict[str, str]:
    """The points that Word keeps of what a chart shows, by their place; of several levels the innermost."""
    found: dict[str, str] = {}
    for point in _under(element, "pt"):
        found.setdefault(attribute(point, "idx") or "", "".join(each.text or "" for each in _under(point, "v")))
    return found or {"0": "".join(each.text or "" for each in _under(element, "v"))}


def _figure(text: str) -> str:
    """Without the digits that only a binary fraction has: 4.2999999999999998 is 4.3."""
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text


def _under(element: etree._Element | None, name: str) -> Iterator[etree._Element]:
    if element is not None:
        for count, each in enumerate(element.iter(f"{{*}}{name}")):
            if count >= MAX_POINTS:
                return
            yield each
