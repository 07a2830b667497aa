"""Where code stands in an answer's Markdown: there nothing is a tag or a mark, however much it looks like one."""

from dataclasses import dataclass, field

FENCES = ("```", "~~~")


@dataclass
class Code:
    """Told all that is let through, it knows whether what follows stands in code."""

    _passed: list[str] = field(default_factory=list)  # since it was last asked
    _line: str = ""  # the line of those that was begun
    _fenced: bool = False  # within ``` and ```

    def passed(self, text: str) -> None:
        self._passed.append(text)

    def is_open(self) -> bool:
        *lines, self._line = (self._line + "".join(self._passed)).split("\n")
        self._passed.clear()
        for line in lines:
            self._fenced ^= line.lstrip().startswith(FENCES)
        if self._line.lstrip().startswith(FENCES):
            return not self._fenced  # the fence itself: of the code that it opens, or after that which it closed
        return self._fenced or self._line.count("`") % 2 == 1
