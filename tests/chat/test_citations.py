"""Marks in the text and the sources behind them belong together, and every excerpt is verbatim."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.writing.citations import Citations
from chat.writing.sentences import sentences
from tests.chat.passages import passage

SHOES = passage(
    "You can return shoes within 30 days of delivery. Sale items can't be returned. We pay the return label."
)
DELIVERY = passage(
    "Standard delivery takes 3 to 5 days. Express delivery takes one day.", number=1, title="Delivery", score=0.71234567
)
STORE = passage("Our store opens at 9:00.", number=2, title="Store", start=0)
PASSAGES = [SHOES, DELIVERY, STORE]


def cited(text: str, passages=PASSAGES) -> tuple[str, list[dict]]:
    citations = Citations(passages)
    shown = "".join([*map(citations.feed, text), citations.finish()])
    return shown, citations.sources()


def excerpts(text: str) -> list[str]:
    return [source["excerpt"] for source in cited(text)[1]]


def test_a_source_has_the_contract_s_shape_and_quotes_the_sentence_that_carries_the_claim():
    text, sources = cited("Express parcels arrive in one day [2].")
    assert text == "Express parcels arrive in one day [1]."
    assert sources == [
        {
            "documentId": "doc-1",
            "title": "Delivery",
            "excerpt": "Express delivery takes one day.",
            "score": 0.7123,
            "chunkIndex": 1,
            "page": 1,
            "start": DELIVERY.start + 37,
            "end": DELIVERY.start + 68,
        }
    ]


@pytest.mark.parametrize(
    ("raw", "shown", "documents"),
    [
        ("A [3]. B [1]. C [3].", "A [1]. B [2]. C [1].", ["doc-2", "doc-0"]),
        ("A [1][2].", "A [1][2].", ["doc-0", "doc-1"]),
        ("A [2, 1].", "A [1][2].", ["doc-1", "doc-0"]),
        ("A [1-3].", "A [1][2][3].", ["doc-0", "doc-1", "doc-2"]),
        ("A [1 and 2].", "A [1][2].", ["doc-0", "doc-1"]),
        ("A [^2] and 【3】 and 【1†source】.", "A [1] and [2] and [3].", ["doc-1", "doc-2", "doc-0"]),
        ("A [Passage 2].", "A [1].", ["doc-1"]),
        ("A [Passage 2, Passage 3].", "A [1][2].", ["doc-1", "doc-2"]),
        ("A [cite: 1, 3] b [citation:2].", "A [1][2] b [3].", ["doc-0", "doc-2", "doc-1"]),
        ("A [Quelle 1 und 3]. B [Fuentes 1 y 2].", "A [1][2]. B [1][3].", ["doc-0", "doc-2", "doc-1"]),
        ("A [source : 2]. B [bron 1, bronnen 3]. C [出典1].", "A [1]. B [2][3]. C [2].", ["doc-1", "doc-0", "doc-2"]),
        ("A [1 to 3]. B [2 bis 3]. C [1—2].", "A [1][2][3]. B [2][3]. C [1][2].", ["doc-0", "doc-1", "doc-2"]),
        (r"A [[2]] and \[1\] and ［3］.", "A [1] and [2] and [3].", ["doc-1", "doc-0", "doc-2"]),
        ("A [[2] b [see [1]].", "A [[1] b [see [2]].", ["doc-1", "doc-0"]),
        (r"A [[9]] and \[9\] and ［9］.", "A and and.", []),
        ("A [2#0][2#1].", "A [1][1].", ["doc-1"]),
        ("A [9]. B [4][1].", "A. B [1].", ["doc-0"]),
        ("In [2024] and [x] and a[i] and [1", "In [2024] and [x] and a[i] and [1", []),
        ("Nothing here.", "Nothing here.", []),
    ],
)
def test_marks_are_numbered_by_first_appearance_and_strays_are_dropped(raw: str, shown: str, documents: list[str]):
    text, sources = cited(raw)
    assert (text, [source["documentId"] for source in sources]) == (shown, documents)


def test_a_mark_is_never_let_out_in_halves():
    citations = Citations(PASSAGES)
    out = [citations.feed(piece) for piece in ["Shoes ", "[", "1", "]", " and [", "2", "0", "0", "] x"]]
    assert [piece for piece in out if piece] == ["Shoes", " [1]", " and", " x"]


@pytest.mark.parametrize("mark", ["[1]", "[[1]]", r"\[1\]", "【1†source】", "［1］", "[Passage 1, Passage 1]", "[9]"])
def test_a_mark_in_single_letters_is_the_mark_as_a_whole(mark: str):
    text = f"Within 30 days {mark}, or later {mark}. See [x] and a\\b."
    citations = Citations(PASSAGES)
    whole = citations.feed(text) + citations.finish()
    assert cited(text)[0] == whole
    assert "Passage" not in whole and whole.endswith("See [x] and a\\b.")


def test_the_mark_may_stand_after_the_full_stop():
    assert excerpts("Sale items can't be sent back. [1] Parcels take 3 to 5 days. [2]") == [
        "Sale items can't be returned.",
        "Standard delivery takes 3 to 5 days.",
    ]


def test_a_sentence_that_the_provider_names_is_quoted_and_stays():
    assert excerpts("Anything at all [1#2], you can return shoes within 30 days [1].") == ["We pay the return label."]
    assert excerpts("Sale items can't be returned [1#99].") == ["Sale items can't be returned."]


def test_figures_decide_between_sentences_that_are_alike():
    terms = passage("Members can return items within 60 days. Others can return items within 14 days.")
    _, sources = cited("You can return items within 14 days [1].", [terms])
    assert sources[0]["excerpt"] == "Others can return items within 14 days."


def test_an_answer_marked_as_none_is_told_apart():
    citations = Citations(PASSAGES)
    assert citations.feed("Our documents don't say that [0].") == "Our documents don't say that."
    assert citations.says_unanswered
    assert citations.sources() == []
    citations.feed(" But the store opens at 9:00 [3].")
    assert not citations.says_unanswered
    citations.feed(" When it closes, they don't say [0].")
    assert citations.says_unanswered
    assert [source["documentId"] for source in citations.sources()] == ["doc-2"]


@pytest.mark.parametrize(
    "code",
    [
        "Read `choices[0].message` of `items[2]`",
        "So:\n```js\nconst [first] = data[0][3]\nlist = [1, 2]\n```\n",
        "~~~\na[0]\n~~~\n",
    ],
)
def test_what_looks_like_a_mark_in_code_is_code(code: str):
    text, sources = cited(f"{code} [2].")
    assert text == f"{code} [1]."
    assert [source["documentId"] for source in sources] == ["doc-1"]
    citations = Citations(PASSAGES)
    citations.feed(f"{code} and no more. [1] `x[0]`")
    citations.finish()
    assert not citations.says_unanswered


def test_a_provider_s_own_mark_is_one_wherever_it_stands():
    assert cited("```\nx[0]\n[2#0]")[0] == "```\nx[0]\n[1]"


def test_an_answer_without_marks_gets_the_passages_that_it_plainly_repeats():
    assert excerpts("You can return shoes within 30 days of delivery.") == [
        "You can return shoes within 30 days of delivery."
    ]
    assert excerpts("I'm sorry, our documents don't say who the director is.") == []


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("ab. \n?!。1-•|:\tÄé😀"), max_size=80), st.integers(0, 1000))
def test_every_excerpt_is_the_document_s_text_at_its_span(text: str, start: int):
    document = "x" * start + text
    _, sources = cited("a b [1].", [passage(text, start=start)])
    for source in sources:
        assert document[source["start"] : source["end"]] == source["excerpt"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        (
            "It costs 3.50 euros, e.g. for Dr. Smith. Next one.",
            ["It costs 3.50 euros, e.g. for Dr. Smith.", "Next one."],
        ),
        ("Am 3. Mai öffnen wir z.B. um 9. Danach nicht.", ["Am 3. Mai öffnen wir z.B. um 9.", "Danach nicht."]),
        (
            "La piscine ferme à 20 h. Le spa est à 5 m. M. Dupont y est.",
            ["La piscine ferme à 20 h.", "Le spa est à 5 m.", "M. Dupont y est."],
        ),
        (
            "Fetch all failed events with this one:\n```\ncurl https://api.example/v2/events?status=failed&limit=100\n```",
            [
                "Fetch all failed events with this one:",
                "```",
                "curl https://api.example/v2/events?status=failed&limit=100",
                "```",
            ],
        ),
        ("A line that was wrapped by the layout of a page and\ngoes on here. End.", 2),
        ("Returns\n- first item\n- second item", ["Returns", "first item", "second item"]),
        ("name: A; price: 1\nname: B; price: 2", ["name: A; price: 1", "name: B; price: 2"]),
        ("返品は30日以内です。送料は無料です。", ["返品は30日以内です。", "送料は無料です。"]),
        ("", []),
    ],
)
def test_sentences_are_cut_where_a_reader_would(text: str, expected: list[str] | int):
    found = [text[start:end] for start, end in sentences(text)]
    assert (len(found) if isinstance(expected, int) else found) == expected


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab. \n?!。1-•|:\t"), max_size=120))
def test_sentences_leave_no_word_out(text: str):
    covered = "".join(text[start:end] for start, end in sentences(text))
    assert re.sub(r"[^ab1]", "", covered) == re.sub(r"[^ab1]", "", text)
