"""Pieces of an answer that survive every widget in the field.

Old widgets read a stream line by line and take each `data:` line that parses as JSON for something other than
text. So no piece may have a line that is JSON, unless it is a whole line of the answer. A character that can't
begin a JSON text (an anchor) makes everything from it to the end of its line safe; so the last word of a line
that begins with an anchor is held back, with what follows it, until more arrives. A citation mark is never cut.
"""

import json

JSON_STARTS = frozenset(' \t\r\n{}[]"-0123456789tfnNI')  # N and I: Python also reads NaN and Infinity
FIRST_IDEOGRAPH = "\u2e80"  # from here on, writing needs no spaces between words


class Pieces:
    """Joins and splits raw pieces; the concatenation of what comes out equals what went in, with `\\n` line ends."""

    def __init__(self) -> None:
        self._held = ""  # of the current line; begins with an anchor once something of the line is out
        self._fresh = True  # nothing of the current line is out yet
        self._carriage_return = False
        self._silent = True  # nothing is out yet

    def push(self, raw: str) -> str:
        """What may be sent now; empty while everything is held back."""
        text = self._held + self._line_ends(raw)
        whole, newline, line = text.rpartition("\n")
        fresh = self._fresh or bool(newline)
        cut = self._cut(line)
        if cut and fresh and _is_json(line[:cut]):
            cut = 0
        self._held, self._fresh = line[cut:], fresh and not cut
        out = whole + newline + line[:cut]
        self._silent = self._silent and not out
        return out

    def _cut(self, line: str) -> int:
        """Where the last word begins that starts with an anchor. The first piece of all is not kept waiting for a
        word's end: it is cut within."""
        within = 0
        for at in range(len(line) - 1, 0, -1):
            if line[at] not in JSON_STARTS:
                if line[at - 1].isspace() or line[at] >= FIRST_IDEOGRAPH:
                    return at
                within = within or at
        return within if self._silent else 0

    def flush(self) -> str:
        """The rest, at the end of the answer: a whole line, or something that begins with an anchor."""
        rest, self._held, self._fresh = self._held, "", True
        return rest

    def _line_ends(self, raw: str) -> str:
        """`\\r\\n` and `\\r` become `\\n`, also when the two characters come in different pieces."""
        if self._carriage_return and raw.startswith("\n"):
            raw = raw[1:]
            self._carriage_return = False
        if raw:
            self._carriage_return = raw.endswith("\r")
        return raw.replace("\r\n", "\n").replace("\r", "\n")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
