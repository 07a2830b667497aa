"""What a Word document takes in whole (altChunk): text, a web page, or another Word document."""

import email
import email.policy
from collections.abc import Iterator

from lxml import etree

from knowledge.parsers.docx_package import local
from knowledge.parsers.encodings import decode
from knowledge.parsers.text import clean

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SILENT = {"script", "style", "head", "template", "noscript", "svg"}
_INLINE = {
    "a",
    "abbr",
    "b",
    "bdi",
    "bdo",
    "big",
    "cite",
    "code",
    "del",
    "dfn",
    "em",
    "font",
    "i",
    "ins",
    "kbd",
    "label",
    "mark",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "u",
    "var",
}
_HIDDEN = ("display:none", "mso-hide:all")


def text_lines(data: bytes) -> Iterator[str]:
    """The paragraphs of a text file."""
    return (paragraph for paragraph in clean(decode(data)).split("\n\n") if paragraph)


def page_blocks(data: bytes) -> Iterator[tuple[str, str, int]]:
    """Kind, text and level (of a heading) of what a reader of a web page sees; also of one in a mail's wrapping."""
    html = _unwrapped(data) or decode(data)
    root = etree.fromstring(html.encode(), etree.HTMLParser(no_network=True, encoding="utf-8"))
    if root is not None:
        yield from _blocks(root)


def _unwrapped(data: bytes) -> str | None:
    """The page within a "web archive" (MHT), None where there is none."""
    if b"mime-version:" not in data[:1000].lower():
        return None
    message = email.message_from_bytes(data, policy=email.policy.default)
    page = message.get_body(("html", "plain"))
    return None if page is None else str(page.get_content())


def _blocks(root: etree._Element) -> Iterator[tuple[str, str, int]]:
    text: list[str] = []
    kind, level = "paragraph", 0

    def ended() -> Iterator[tuple[str, str, int]]:
        whole = " ".join("".join(text).split())
        text.clear()
        if whole:
            yield kind, f"- {whole}" if kind == "list" else whole, level

    skipped = None  # the element whose content nobody sees
    for event, element in etree.iterwalk(root, events=("start", "end")):
        name = local(element)
        if skipped is not None:
            if event == "end" and element is skipped:
                skipped = None
                text.append(element.tail or "")
            continue
        if event == "start" and (name in _SILENT or _is_hidden(element) or not name):
            skipped = element
            continue
        if name not in _INLINE:
            if name in ("td", "th", "br"):
                text.append(" ")
            else:
                yield from ended()
                opened = event == "start"
                level = _HEADINGS.get(name, 0) if opened else 0
                kind = "heading" if level else "list" if name == "li" and opened else "paragraph"
        text.append((element.text if event == "start" else element.tail) or "")
    yield from ended()


def _is_hidden(element: etree._Element) -> bool:
    style = (element.get("style") or "").replace(" ", "").lower()
    return any(hidden in style for hidden in _HIDDEN) or element.get("hidden") is not None
