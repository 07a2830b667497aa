"""CSV: every row a passage with its header names."""

import pytest

from knowledge.parsers import ParseError
from tests.knowledge.files import make_csv, parse_bytes

ROWS = [("name", "price", "note"), ("boots", 20, "warm; dry"), ("hat", 5, ""), ("scarf", 7, 'says "hi"\nand bye')]
TEXT = 'name: boots; price: 20; note: warm; dry\nname: hat; price: 5\nname: scarf; price: 7; note: says "hi" and bye'


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_delimiter_and_encoding_are_found(delimiter: str, encoding: str) -> None:
    parsed = parse_bytes(make_csv(ROWS, delimiter, encoding), "csv")
    assert parsed.text == TEXT
    assert [block.kind for block in parsed.blocks] == ["row"] * 3


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_figures_in_utf16_without_a_mark_are_read(encoding: str) -> None:
    data = "Time,Price\n10:00,100.00\n".encode(encoding)
    assert parse_bytes(data, "csv").text == "Time: 10:00; Price: 100.00"


def test_excels_separator_line_is_obeyed_and_left_out() -> None:
    assert parse_bytes(b"sep=;\r\nname;price\r\nboots;1,5\r\n", "csv").text == "name: boots; price: 1,5"


def test_rows_without_a_header_are_kept_as_they_are() -> None:
    assert parse_bytes(b"1,2.5\n2,3.5\n", "csv").text == "1; 2.5\n2; 3.5"


def test_titles_above_the_table_are_not_taken_for_its_header() -> None:
    parsed = parse_bytes(b"Delivery charges,,\nAll in euros,,\n,,\nCountry,Days,Charge\nFrance,3,5\n", "csv")
    assert [(parsed.text[b.start : b.end], b.kind) for b in parsed.blocks] == [
        ("Delivery charges", "paragraph"),
        ("All in euros", "paragraph"),
        ("Country: France; Days: 3; Charge: 5", "row"),
    ]
    assert parse_bytes(b"Question\nWhen?\nWhere?\n", "csv").text == "Question: When?\nQuestion: Where?"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("name,price,,\nboots,20,,\nhat,5,,\n", "name: boots; price: 20\nname: hat; price: 5"),  # as Excel fills up
        ("name,mail,mail\nAnna,a@x,b@x\n", "name: Anna; mail: a@x; mail: b@x"),
        ("Region;2023;2024\nNorth;1;2\n", "Region: North; 2023: 1; 2024: 2"),
        ("Model,36,37,38\nBoot,4,0,1\n", "Model: Boot; 36: 4; 37: 0; 38: 1"),
        (",9:00,10:00,11:00\nMonday,Yoga,Box,Swim\n", "Monday; 9:00: Yoga; 10:00: Box; 11:00: Swim"),
    ],
)
def test_names_of_columns_that_look_unlike_names(file: str, text: str) -> None:
    assert parse_bytes(file.encode(), "csv").text == text


@pytest.mark.parametrize(
    "rows",
    [
        [("boots", "20", "30"), ("hat", "5", "6")],
        [("boots", "1", "2", "3"), ("hat", "4", "5", "6")],
        [("boots", "yes", "yes"), ("hat", "no", "yes")],
        [("Anna", "Leeds"), ("Bob", "York"), ("Carl", "Leeds")],
        [("May I return boots?", "Within sixty days."), ("Is it free?", "Yes, always.")],
    ],
)
def test_a_first_row_that_is_like_the_others_names_nothing(rows: list[tuple[str, ...]]) -> None:
    assert parse_bytes(make_csv(rows), "csv").text == "\n".join(map("; ".join, rows))


def test_ragged_empty_and_header_only_files() -> None:
    assert (
        parse_bytes(b"name,price\nboots,20,extra\n\n,,\nhat\n", "csv").text
        == "name: boots; price: 20; extra\nname: hat"
    )
    assert parse_bytes(b"name,price\n", "csv").text == "name; price"
    with pytest.raises(ParseError, match="no rows"):
        parse_bytes(b"\n , \n", "csv")


def test_a_field_may_be_larger_than_the_modules_limit() -> None:
    assert len(parse_bytes(make_csv([("name", "text"), ("x", "word " * 50_000)]), "csv").text) > 200_000


def test_too_many_rows_are_told(settings) -> None:  # type: ignore[no-untyped-def]
    settings.PARSE_MAX_ROWS = 3
    with pytest.raises(ParseError, match="more than 3 rows"):
        parse_bytes(make_csv([("name", "price"), *[("x", n) for n in range(4)]]), "csv")
