"""PDF: PDFium first, which is fast and reads most; pypdf where PDFium fails or finds no text."""

import pypdfium2
from pypdfium2 import raw

from knowledge.parsers.base import Limits, Parsed, ParseError
from knowledge.parsers.text import TextBuilder

ENCRYPTED = "The PDF is protected by a password. Upload a version without one."
NO_TEXT = (
    "The PDF has no text layer: its pages are scanned images. "
    "Upload a version with selectable text, for example after text recognition (OCR)."
)


def read(path: str, limits: Limits) -> Parsed:
    try:
        pages = _pages_by_pdfium(path, limits)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == raw.FPDF_ERR_PASSWORD:
            raise ParseError(ENCRYPTED) from error
        pages = []
    if not any(page.strip() for page in pages):
        pages = _pages_by_pypdf(path, limits) or pages
    builder = TextBuilder(limits)
    for number, page in enumerate(pages, 1):
        builder.add(page, page=number)
    if not builder.length:
        raise ParseError(NO_TEXT)
    return builder.parsed(len(pages))


def check_pages(count: int, limits: Limits) -> None:
    if count > limits.pages:
        raise ParseError(f"The PDF has more than {limits.pages:,} pages.")


def _pages_by_pdfium(path: str, limits: Limits) -> list[str]:
    document = pypdfium2.PdfDocument(path)
    check_pages(len(document), limits)
    return [document[i].get_textpage().get_text_range().replace("\ufffe", "") for i in range(len(document))]


def _pages_by_pypdf(path: str, limits: Limits) -> list[str]:
    import pypdf  # a third of a second of CPU, which most files save

    reader = pypdf.PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        raise ParseError(ENCRYPTED)
    check_pages(len(reader.pages), limits)
    return [page.extract_text() for page in reader.pages]
