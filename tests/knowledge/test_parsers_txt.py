"""TXT: any encoding, Markdown's headings as structure, text clean enough to store."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.parsers import ParseError
from knowledge.parsers.encodings import SAMPLE, decode
from knowledge.parsers.text import _is_tidy, _tidied, clean
from tests.knowledge.encodings_set import SAMPLES
from tests.knowledge.files import parse_bytes


def test_at_least_98_percent_of_the_labelled_encodings_are_read_right() -> None:
    wrong = [(encoding, text[:40]) for encoding, text in SAMPLES if decode(text.encode(encoding)) != text]
    assert len(SAMPLES) > 150
    assert len(wrong) <= 0.02 * len(SAMPLES), wrong


@pytest.mark.parametrize("encoding", ["shift_jis", "euc_kr", "gb18030", "big5"])
def test_where_a_sample_of_a_long_text_ends_does_not_matter(encoding: str) -> None:
    """Half a character at the end of the sample would rule its encoding out."""
    text = next(text for name, text in SAMPLES if name == encoding)
    long = text * (SAMPLE // len(text))
    assert len(long.encode(encoding)) > SAMPLE
    for shift in (" ", "a ", "a"):
        assert decode((shift + long).encode(encoding)) == shift + long
    unbroken = "".join(letter for letter in long if letter > "\x7f") * 2
    assert decode(unbroken.encode(encoding)) == unbroken


def test_utf8_with_a_few_broken_bytes_is_still_utf8() -> None:
    text = "Größe und Rückgabe: “Stiefel”, 60 Tage, ₤ und €.\n" * 20
    assert decode(text.encode()[:-1] + "ß".encode()[:1]) == text[:-1] + "\ufffd"
    assert decode(text.encode() + b"caf\xe9") == text + "caf\ufffd"
    assert decode("Größe und Rückgabe: 60 Tage.".encode("cp1252")) == "Größe und Rückgabe: 60 Tage."


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("iso2022_kr", "부츠는 육십 일 이내에 반품할 수 있습니다."),
        ("cp1252", "El precio medio de la vivienda es de 2212 EUR/m2, según datos de la Sociedad de Tasación."),
        ("mac-roman", "The driver’s name was not found in the list of names."),
        ("cp1252", "Prix: 25 €"),
        ("iso-8859-15", "Prix: 25 €"),
        ("iso-8859-3", "Vi povas redoni ĉiujn ŝuojn kaj ĝaketojn. La reveno estas senpaga, skribu ankoraŭ hodiaŭ."),
        ("iso-8859-3", "Ir-ritorn huwa bla ħlas, anke jekk il-kaxxa nfetħet. Ċempel bejn id-disgħa u l-ħamsa."),
    ],
)
def test_short_texts_are_not_taken_for_another_script(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_vietnamese_in_its_own_encoding_is_read() -> None:
    """cp1258 has some letters whole, others with an accent behind them."""
    text = "Bạn có thể trả lại giày trong vòng sáu mươi ngày. Việc trả hàng là miễn phí."
    data = b"".join(
        letter.encode("cp1258", "ignore") or _with_accent_behind(letter).encode("cp1258") for letter in text
    )
    assert unicodedata.normalize("NFC", decode(data)) == text


def _with_accent_behind(letter: str) -> str:
    parts = unicodedata.normalize("NFD", letter)
    accent = next(part for part in parts if part in "\u0300\u0301\u0303\u0309\u0323")
    return unicodedata.normalize("NFC", parts.replace(accent, "")) + accent


def test_markdown_is_structure() -> None:
    text = (
        "# Help\n\nRead\nthis.\n\n## Boots ##\n- waxed\n- dry\n\nCare\n----\n```\n# no heading\n```\n1. One\n2. Two\n"
    )
    parsed = parse_bytes(text.encode(), "txt")
    assert [(parsed.text[b.start : b.end], b.kind, b.heading_path) for b in parsed.blocks] == [
        ("Help", "heading", ("Help",)),
        ("Read\nthis.", "paragraph", ("Help",)),
        ("Boots", "heading", ("Help", "Boots")),
        ("- waxed", "list", ("Help", "Boots")),
        ("- dry", "list", ("Help", "Boots")),
        ("Care", "heading", ("Help", "Care")),
        ("```\n# no heading\n```", "paragraph", ("Help", "Care")),
        ("1. One", "list", ("Help", "Care")),
        ("2. Two", "list", ("Help", "Care")),
    ]


def blocks_of(text: str) -> list[tuple[str, str]]:
    parsed = parse_bytes(text.encode(), "txt")
    return [(block.kind, parsed.text[block.start : block.end]) for block in parsed.blocks]


def test_a_table_in_markdown_is_rows_with_their_headers() -> None:
    table = "Charges:\n| Country | Charge |\n|:--------|-------:|\n| France | 5 \\| 7 |\n| Spain | |\nAll in euros.\n"
    assert blocks_of(table) == [
        ("paragraph", "Charges:"),
        ("row", "Country; Charge"),
        ("row", "Country: France; Charge: 5 | 7"),
        ("row", "Country: Spain"),
        ("paragraph", "All in euros."),
    ]
    assert blocks_of("Days | Charge\n--- | ---\n3 | 5\n") == [("row", "Days; Charge"), ("row", "Days: 3; Charge: 5")]
    assert blocks_of("A | B\n--- | --- | ---\n") == [("paragraph", "A | B\n--- | --- | ---")]


def test_code_ends_at_its_own_fence_and_keeps_its_indentation() -> None:
    code = "````md\n```\n# none\n```\n````"
    assert blocks_of(f"{code}\n# One\n") == [("paragraph", code), ("heading", "One")]
    assert blocks_of("```\n~~~\n```\n# One\n") == [("paragraph", "```\n~~~\n```"), ("heading", "One")]
    assert blocks_of("```npm install```\n\n# One\n") == [("paragraph", "```npm install```"), ("heading", "One")]
    code = "```python\nif wet:\n    dry()  \n\n\treturn  'x'\n```"
    assert blocks_of(code) == [("paragraph", "```python\nif wet:\n    dry()"), ("paragraph", "\treturn 'x'\n```")]


def test_headings_of_restructuredtext_are_headings() -> None:
    parsed = parse_bytes(b"======\nGuide\n======\n\nBoots\n~~~~~~~\n\nDry them.\n\n---\ntitle: Hats\n---\n", "txt")
    assert [(parsed.text[b.start : b.end], b.kind, b.heading_path) for b in parsed.blocks] == [
        ("Guide", "heading", ("Guide",)),
        ("Boots", "heading", ("Guide", "Boots")),
        ("Dry them.", "paragraph", ("Guide", "Boots")),
        ("---\ntitle: Hats\n---", "paragraph", ("Guide", "Boots")),
    ]


@pytest.mark.parametrize("data", [b"", b"\n\n \n", b"\0\0", "\ufeff\u200b".encode()])
def test_a_file_without_text_is_told(data: bytes) -> None:
    with pytest.raises(ParseError, match="holds no text"):
        parse_bytes(data, "txt")


def test_what_cannot_be_stored_or_seen_is_removed() -> None:
    hidden = "\0\u200b\u200d\u202e\u2066\u061c\ufeff\U000e0041\U000e007f\ud800\x1b\x9b\xad"
    assert clean(f"pa{hidden}id\u00a0 e\u0301te\u0301\r\nx\u2028y") == "paid été\nx\ny"


FORBIDDEN = re.compile("[\0\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]")


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_clean_text_is_normal_storable_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    assert not FORBIDDEN.search(cleaned)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert clean(cleaned) == cleaned
    assert cleaned.encode().decode() == cleaned


@given(st.text(alphabet=st.characters() | st.sampled_from(" \n\t\u034f\xa0e\u0301\U000e0100")))
def test_tidy_text_is_told_from_untidy(text: str) -> None:
    assert not _is_tidy(text) or _tidied(text) == text


@given(st.binary())
def test_any_bytes_decode(data: bytes) -> None:
    decode(data)
