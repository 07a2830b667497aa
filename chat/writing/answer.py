"""A model's pieces on their way to the visitor: made safe, their citations resolved, their length bounded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chat.writing.citations import Citations
from chat.writing.html import NoHtml
from chat.writing.markdown import PlainCharacters, SafeLinks

if TYPE_CHECKING:
    from knowledge.search import Passage

LONGEST = 8_000  # characters; three times what the token limit of an answer yields in English


class Answer:
    """`feed` every piece, then `finish` once; what they return, joined, is the answer's text.

    `full`: the length limit is reached; nothing more will come out, and the model can be stopped.
    `says_unanswered`: the model said that the passages don't answer the question.
    """

    def __init__(self, passages: Sequence["Passage"], longest: int = LONGEST):
        self._citations = Citations(passages)
        # HTML goes before marks, so that taking a tag out can't make a mark; links last, so that nothing
        # that was taken out before can make one.
        self._stages = (PlainCharacters(), NoHtml(), self._citations, SafeLinks())
        self._left = longest

    @property
    def full(self) -> bool:
        return self._left <= 0

    @property
    def says_unanswered(self) -> bool:
        return self._citations.says_unanswered

    def feed(self, piece: str) -> str:
        for stage in self._stages:
            if piece:
                piece = stage.feed(piece)
        return self._bounded(piece)

    def finish(self) -> str:
        rest = ""
        for stage in self._stages:
            rest = (stage.feed(rest) if rest else "") + stage.finish()
        return self._bounded(rest)

    def sources(self) -> list[dict[str, Any]]:
        """The sources used, the k-th for mark [k]; call it after `finish`."""
        return self._citations.sources()

    def _bounded(self, text: str) -> str:
        if len(text) <= self._left:
            self._left -= len(text)
            return text
        text, self._left = text[: self._left], 0
        # Don't end in half a mark or half a link.
        opened = text.rfind("[")
        closed = max(text.rfind("]"), text.rfind(")"))
        half = opened > closed or text.rfind("](") > text.rfind(")")
        return text[:opened] if half and opened >= 0 else text
