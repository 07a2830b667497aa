"""No piece is lost by a widget that drops lines which are JSON, and none is changed on its way."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from chat.pieces import Pieces

RAW = st.lists(st.text(alphabet='ab t[]{}"-14.,\n\r漢é', max_size=6), max_size=12)


def sent(raw: list[str]) -> list[str]:
    pieces = Pieces()
    return [piece for piece in (*map(pieces.push, raw), pieces.flush()) if piece]


@given(RAW)
@example(["The answer is ", "42"])
@example(["4", "2"])
@example(["x\r", "\ny"])
@example(["Boots: ", "[1]", ", ", "[2]"])
@example(["", "null"])
def test_the_pieces_join_to_the_text_with_plain_line_ends(raw: list[str]) -> None:
    assert "".join(sent(raw)) == "".join(raw).replace("\r\n", "\n").replace("\r", "\n")


@given(RAW)
@example(["The answer is ", "42"])
@example(["true", " story"])
@example(["a\n4", "2 boots"])
def test_a_line_that_is_json_is_a_whole_line_of_the_answer(raw: list[str]) -> None:
    whole_lines = "".join(sent(raw)).split("\n")
    for piece in sent(raw):
        for line in piece.split("\n"):
            assert not is_json(line) or line in whole_lines


def test_the_first_words_do_not_wait() -> None:
    assert Pieces().push("Boots") == "Boot"


def test_a_citation_mark_is_never_cut() -> None:
    pieces = sent(["You have ", "60 days", ".", " [1]", " Unworn", " [2]."])
    assert "".join(pieces) == "You have 60 days. [1] Unworn [2]."
    assert all(piece.count("[") == piece.count("]") for piece in pieces)


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
