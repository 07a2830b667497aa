"""Scanned pages to text, by Tesseract; only asked where a PDF has no text layer and the setting OCR is on.

A dense page costs about a second of CPU and 100 MB. The library is an optional extra.
"""

from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

import pypdfium2

from knowledge.parsers import pdf_layout
from knowledge.parsers.base import Limits, Parsed, ParseError
from knowledge.parsers.pdf_shapes import Line, Page
from knowledge.parsers.text import TextBuilder

POINTS = 72  # an inch
RESOLUTION = 200  # dots an inch: small print suffers at 150, and 300 costs twice the time
LONGEST_SIDE = 5000  # dots, for posters
LEAST_CONFIDENCE = 50  # of 100; what is taken for letters in pictures has less
NOTHING = "The PDF has no text layer, and no text was recognised in the pictures that are its pages."


def read(path: str, limits: Limits) -> Parsed:
    """As the readers of other types; raises ParseError where no text can be seen either."""
    from tesserocr import PyTessBaseAPI

    document = pypdfium2.PdfDocument(path)
    builder = TextBuilder(limits)
    with PyTessBaseAPI(path=limits.ocr_data, lang=limits.ocr_languages) as tesseract:
        pages = [Page(page.get_height(), list(_lines(tesseract, page))) for page in document]
    pdf_layout.build(_with_few_sizes(pages), builder)
    if not builder.length:
        raise ParseError(NOTHING)
    return builder.parsed(len(pages))


def _lines(tesseract: Any, page: pypdfium2.PdfPage) -> Iterator[Line]:
    """The lines that are read with some confidence, in reading order."""
    from tesserocr import RIL, iterate_level

    scale = min(RESOLUTION / POINTS, LONGEST_SIDE / max(page.get_size()))
    picture = page.render(scale=scale, grayscale=True)
    tesseract.SetImageBytes(bytes(picture.buffer), picture.width, picture.height, 1, picture.stride)
    tesseract.SetSourceResolution(round(scale * POINTS))
    tesseract.Recognize()
    for item in iterate_level(tesseract.GetIterator(), RIL.TEXTLINE):
        if not item.Empty(RIL.TEXTLINE) and item.Confidence(RIL.TEXTLINE) >= LEAST_CONFIDENCE:
            yield _line(item, scale, picture.height)


def _line(item: Any, scale: float, height: int) -> Line:
    """A line with its box in points: on its base line, as high as its row, so that "no" is as high as "fig"."""
    from tesserocr import RIL

    text = item.GetUTF8Text(RIL.TEXTLINE).strip()
    left, _, right, _ = item.BoundingBox(RIL.TEXTLINE)
    (_, base), _ = item.Baseline(RIL.TEXTLINE)
    bottom = (height - base) / scale
    top = bottom + item.RowAttributes()["row_height"] / scale
    hyphen = text.endswith("-") and text[-2:-1].isalpha()
    return Line(text[:-1] if hyphen else text, left / scale, bottom, right / scale, top, False, hyphen)


def _with_few_sizes(pages: Iterable[Page]) -> list[Page]:
    """Heights as multiples of half the usual one: measured in a picture, no two lines of a font are of one size."""
    pages = list(pages)
    usual = median([line.height for page in pages for line in page.lines] or [1.0])

    def sized(line: Line) -> Line:
        return line._replace(top=line.bottom + usual * max(1.0, round(2 * line.height / usual) / 2))

    return [Page(page.height, [sized(line) for line in page.lines]) for page in pages]
