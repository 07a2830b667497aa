"""An answer's text as safe Markdown while it streams, however its pieces are cut.

A model's output is hostile until proven otherwise: a document may have told it what to write. What comes out
has no control or bidi characters, no `<` that could open an HTML tag, no image, and no link target but an absolute
http, https or mailto address. Words are not lost: only what is plainly a tag goes.
"""

import re
from dataclasses import dataclass, field

# Kept: tab, newline, the joiners and selectors that emoji and several scripts are written with.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_LONGEST_TARGET = 2_000
_BRACKETS = re.compile(r"!+|[\[\]]")
_MARK = re.compile(r"\[\d{1,3}\](?!\()")
_MARK_LABEL = re.compile(r"\[\s*\d{1,3}$")
_DANGEROUS = re.compile(r"\][(:]|!\[|<[a-zA-Z/!?]")  # where two neighbours meet
_MOVES_CODE = re.compile(r"^[ \t]*!+\[|\]\(", re.M)
_SAFE_TARGET = re.compile(r"(?:https?://[^\s/?#<>\"'\\\[\]]|mailto:)[^\s<>\"'\\\[\]]*", re.I)


@dataclass
class PlainCharacters:
    """Takes out what no reader sees, and makes every line end a newline."""

    _held: str = ""

    def feed(self, piece: str) -> str:
        if not self._held and not _UNWANTED.search(piece):
            return piece
        text, self._held = self._held + piece, ""
        if text.endswith("\r") or "\ud800" <= text[-1] <= "\udbff":  # perhaps half of a line end or of a character
            text, self._held = text[:-1], text[-1]
        return _plain(text)

    def finish(self) -> str:
        rest, self._held = self._held, ""
        return _plain(rest)


def _plain(text: str) -> str:
    # Some servers escape an emoji as two halves and send one at a time.
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


@dataclass
class SafeLinks:
    """Lets links through whose target is plainly http(s) or mailto; of others, and of images, only the words stay."""

    _held: str = ""
    _tail: str = ""  # the last characters let out
    _open: list[bool] = field(default_factory=list)  # for each open bracket: does it belong to an image?

    def feed(self, piece: str) -> str:
        if not self._held and not self._tail.endswith(("]", "!", "<")) and not _BRACKETS.search(piece):
            self._tail = (self._tail + piece)[-8:]
            return piece
        return self._through(self._held + piece, final=False)

    def finish(self) -> str:
        return self._through(self._held, final=True)

    def _through(self, text: str, *, final: bool) -> str:
        self._held = ""
        out: list[str] = []
        position = 0
        while match := _BRACKETS.search(text, position):
            self._let(out, text[position : match.start()])
            step = self._step(out, text, match, final)
            if step is None:
                self._held = text[match.start() :]
                return "".join(out)
            position = step
        self._let(out, text[position:])
        return "".join(out)

    def _step(self, out: list[str], text: str, match: re.Match[str], final: bool) -> int | None:
        """Deal with the character at `match`; where to go on, or None to wait for more text."""
        if match.end() == len(text) and not final and match.group() != "[":
            return None
        if match.group() == "[":
            self._open = [*self._open[-20:], False]
            self._let(out, "[")
            return match.end()
        if match.group() == "]":
            return self._close(out, text, match.start(), final)
        if not text.startswith("[", match.end()):
            self._let(out, match.group())
            return match.end()
        if _MARK.match(text, match.end()):  # "Great![1]"
            self._let(out, match.group())
            return match.end()
        self._open = [*self._open[-20:], True]
        return match.end() + 1

    def _close(self, out: list[str], text: str, at: int, final: bool) -> int | None:
        target_end = at + 1
        target = ""
        if text.startswith("(", at + 1):
            end = _target_end(text, at + 2)
            if end is None and not final and len(text) - at < _LONGEST_TARGET:
                return None
            if end is not None:
                target, target_end = text[at + 2 : end], end + 1
        is_image = self._open.pop() if self._open else False
        is_mark = bool(_MARK_LABEL.search(self._tail))
        if not is_image:
            self._let(out, "]")
        address, *_ = target.split() or [""]
        if _SAFE_TARGET.fullmatch(address) and not is_image and not is_mark:
            self._let(out, f"({address})", checked=True)
        elif marks := _MARK.findall(target):  # "[our policy]([1])" has a source, though not a link
            self._let(out, " " + "".join(marks))
        return target_end

    def _let(self, out: list[str], text: str, *, checked: bool = False) -> None:
        """Let `text` out. Whatever was taken away before it, it must not come to stand where it makes a link target,
        a link definition, an image or a tag of its neighbour; a space prevents that."""
        if not text:
            return
        if not checked and _DANGEROUS.match(self._tail[-1:] + text[0]):
            text = " " + text
        out.append(text)
        self._tail = (self._tail + text)[-8:]


def moves_code(text: str) -> bool:
    """Whether what `SafeLinks` takes out of `text` can change what of it, or after it, is code: an image that begins a
    line, or a link's target, still open perhaps, in which code begins or ends."""
    for match in _MOVES_CODE.finditer(text):
        end = _target_end(text, match.end())
        if match.group() != "](" or "`" in text[match.end() : end] or "\n" in text[match.end() : end]:
            return True
    return False


def _target_end(text: str, start: int) -> int | None:
    """The position of the parenthesis that closes a link target, inner pairs skipped."""
    depth = 0
    for position in range(start, min(len(text), start + _LONGEST_TARGET)):
        if text[position] == "(":
            depth += 1
        elif text[position] == ")":
            if depth == 0:
                return position
            depth -= 1
    return None
