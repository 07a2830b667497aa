"""Tags out of an answer's text while it streams, however its pieces are cut.

No `<` comes out that could open a tag in a page that takes the answer for HTML. Words are not lost: only what is
plainly a tag of those that models write goes; any other `<` gets a space, which makes a browser take it for text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from chat.writing.code import Code

_ELEMENTS = """
    a abbr b big blockquote body br button center cite code col colgroup dd del details div dl dt em embed
    fieldset font footer form frame h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label li
    link mark meta nav object ol option p param picture pre q s samp script section select small source span
    strike strong style sub summary sup svg table tbody td textarea tfoot th thead tr tt u ul video wbr
"""
_ELEMENT = rf"(?:{'|'.join(_ELEMENTS.split())})"
_ATTRIBUTE = r"""\s+[\w:@.-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)"""
_TAG = re.compile(rf"</?{_ELEMENT}(?:{_ATTRIBUTE})*\s*/?>|<!--[^<>]*>|<!doctype\b[^<>]*>|<\?xml\b[^<>]*>", re.I)
_PART_OF_TAG = re.compile(rf"<(?:[^\s<>]*|/?{_ELEMENT}\s[^<>]*|!--[^<>]*|!doctype\s[^<>]*|\?xml\s[^<>]*)", re.I)
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)>")
_LONGEST_TAG = 300  # characters waited for the end of what looks like a tag; a `<` in prose must not hold the answer up


@dataclass
class NoHtml:
    """Takes out tags and comments and unwraps <https://...>. What is no tag ("orders <EUR 50", List<String>), and tags
    in code, which are meant to be read, stay, with a space that makes a browser take the `<` for text."""

    _held: str = ""
    _code: Code = field(default_factory=Code)

    def feed(self, piece: str) -> str:
        if not self._held and "<" not in piece:
            self._code.passed(piece)
            return piece
        return "".join(self._parts(self._held + piece, final=False))

    def finish(self) -> str:
        return "".join(self._parts(self._held, final=True))

    def _parts(self, text: str, *, final: bool) -> Iterator[str]:
        self._held = ""
        position = 0
        while (at := text.find("<", position)) >= 0:
            self._code.passed(text[position:at])
            yield text[position:at]
            shown, position = self._opened(text, at, final)
            if position == at:
                self._held = text[at:]
                return
            yield shown
        self._code.passed(text[position:])
        yield text[position:]

    def _opened(self, text: str, at: int, final: bool) -> tuple[str, int]:
        """What is shown for the `<` at `at`, and where to go on: at `at` itself to wait for more text."""
        following = text[at + 1 : at + 2]
        if not following and not final:
            return "", at
        if not following.isascii() or not (following.isalpha() or following in ("/", "!", "?")):
            # What stands after a `<` in the result is what stood there before: no later stage takes these away.
            return "<" if following not in ("<", "[", "【", "") else "", at + 1
        if not self._code.is_open():
            longest = at + _LONGEST_TAG
            if found := _TAG.match(text, at, longest):
                return "", found.end()
            if found := _AUTOLINK.match(text, at, longest):
                return found[1], found.end()
            if not final and len(text) - at < _LONGEST_TAG and _PART_OF_TAG.fullmatch(text, at):
                return "", at
        return "< ", at + 1
