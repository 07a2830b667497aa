"""What a file is, is decided by its content, and must agree with what it was called."""

import pytest

from knowledge.parsers import check_type
from tenants.errors import ApiError
from tests.knowledge.files import make_csv, make_docx, make_pdf, make_txt, replace_part

GOOD = {
    "pdf": make_pdf(["Hello"]),
    "docx": make_docx(["Hello"]),
    "txt": make_txt("Hello"),
    "csv": make_csv([("a", "b"), (1, 2)]),
}


@pytest.mark.parametrize("declared", GOOD)
def test_a_file_that_is_what_it_says_passes(declared: str) -> None:
    for name in (f"file.{declared}", f"FILE.{declared.upper()}", "no extension", ""):
        check_type(GOOD[declared], declared, name)


def test_text_in_any_encoding_passes() -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "shift_jis"):
        check_type("Grüße, 世界".encode(encoding, "ignore"), "txt", "x.txt")
    check_type("역사적 예수 연구자들은 복음".encode("iso2022_kr"), "txt", "x.txt")
    for encoding in ("utf-16-le", "utf-16-be"):
        check_type("Time,Bid\r\n07/19/2015 21:00:15,1.08300\r\n".encode(encoding) * 20, "csv", "x.csv")
    check_type(b"text with a stray \0 in it", "txt", "x.txt")
    check_type(b"PK is what a ZIP begins with, a PDF with %PDF-1.7", "txt", "x.txt")


def test_a_dot_in_a_title_is_no_extension() -> None:
    check_type(GOOD["txt"], "txt", "notes v1.2")
    check_type(GOOD["pdf"], "pdf", "To Dr. Brown")
    check_type(b"junk\n" + GOOD["pdf"], "pdf", "folder.d/x.PDF")


@pytest.mark.parametrize(
    ("data", "declared", "name"),
    [
        (GOOD["pdf"], "docx", "x.docx"),
        (GOOD["docx"], "pdf", "x.pdf"),
        (GOOD["pdf"], "txt", "x.txt"),
        (b"commands of a printer\n" + GOOD["pdf"], "txt", "x.txt"),
        (GOOD["docx"], "csv", "x.csv"),
        (GOOD["txt"], "pdf", "x.pdf"),
        (GOOD["txt"], "docx", "x.docx"),
        (GOOD["pdf"], "pdf", "x.exe"),
        (GOOD["txt"], "txt", "x.html"),
        (GOOD["txt"], "exe", "x.exe"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "docx", "x.docx"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "txt", "x.txt"),
        (bytes(range(256)) * 40, "csv", "x.csv"),
        (GOOD["docx"][: len(GOOD["docx"]) // 2], "docx", "x.docx"),
        (b"PK\x03\x04" + bytes(50), "docx", "x.docx"),
        (b"", "pdf", "x.pdf"),
        (b"", "docx", "x.docx"),
    ],
)
def test_a_mismatch_is_refused(data: bytes, declared: str, name: str) -> None:
    with pytest.raises(ApiError) as refusal:
        check_type(data, declared, name)
    assert refusal.value.status == 415


def test_a_workbook_is_named_for_what_it_is() -> None:
    workbook = replace_part(GOOD["docx"], "xl/workbook.xml", b"<workbook/>")
    with pytest.raises(ApiError, match=r"not a Word document \(.docx\): it looks like an Excel workbook"):
        check_type(workbook, "docx", "x.docx")
