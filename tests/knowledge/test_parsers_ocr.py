"""Scans: read where the operator switched that on, within limits of their own."""

import sys

import pytest
from pytest_django import Settings

from knowledge.checks import check_ocr
from knowledge.parsers import ParseError
from tests.knowledge.files import make_pdf, make_scan, parse_bytes, scanned

PAGE = """# Returns and refunds
Boots can be returned within 60 days, if they were not worn
outside. Send them in their box to our warehouse; the post-
age is paid by us for every order over 30 euros. Refunds go
to the card that you paid with, within three working days.
A pair that is returned later is sent back to you, unless we
agreed on a longer time. Ask us before you send it.

# Care
Wax the boots twice a year. Never dry them on a heater."""


@pytest.fixture
def ocr(settings: Settings) -> None:
    settings.OCR = True


def test_a_scan_is_read_with_its_structure_and_pages(ocr: None) -> None:
    parsed = parse_bytes(scanned(make_pdf([PAGE, "# Care\nDry the tents."])), "pdf")
    assert [(parsed.text[b.start : b.end], b.kind, b.page, b.heading_path) for b in parsed.blocks] == [
        ("Returns and refunds", "heading", 1, ("Returns and refunds",)),
        (
            "Boots can be returned within 60 days, if they were not worn outside. Send them in their box to our "
            "warehouse; the postage is paid by us for every order over 30 euros. Refunds go to the card that you "
            "paid with, within three working days. A pair that is returned later is sent back to you, unless "
            "we agreed on a longer time. Ask us before you send it.",
            "paragraph",
            1,
            ("Returns and refunds",),
        ),
        ("Care", "heading", 1, ("Care",)),
        ("Wax the boots twice a year. Never dry them on a heater.", "paragraph", 1, ("Care",)),
        ("Care", "heading", 2, ("Care",)),
        ("Dry the tents.", "paragraph", 2, ("Care",)),
    ]
    assert parsed.pages == 2


def test_pictures_without_text_are_told_from_scans(ocr: None) -> None:
    with pytest.raises(ParseError, match="no text was recognised"):
        parse_bytes(make_scan(2), "pdf")


def test_a_scan_has_its_own_limit_of_time(ocr: None, settings: Settings) -> None:
    settings.OCR_SECONDS = 0.05
    with pytest.raises(ParseError, match=r"within 0\.05 seconds"):
        parse_bytes(scanned(make_pdf([PAGE])), "pdf")


def test_nothing_is_recognised_unasked() -> None:
    with pytest.raises(ParseError, match="no text layer"):
        parse_bytes(scanned(make_pdf([PAGE])), "pdf")


def test_it_does_not_start_without_what_it_needs(ocr: None, settings: Settings, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    assert check_ocr(None) == []
    settings.OCR_LANGUAGES, settings.OCR_SECONDS = "eng+xyz", 300.0
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [error.id for error in check_ocr(None)] == ["knowledge.E001", "knowledge.E002", "knowledge.E003"]
    settings.OCR = False
    assert check_ocr(None) == []
