"""PDF: PDFium first, which is fast and reads most; pypdf where PDFium fails or finds no text."""

import contextlib
import ctypes
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import pypdfium2
from pypdfium2 import raw

from knowledge.parsers import pdf_forms, pdf_layout
from knowledge.parsers.base import Limits, NoTextLayer, Parsed, ParseError
from knowledge.parsers.pdf_layout import is_item
from knowledge.parsers.pdf_shapes import Cell, Line, Page
from knowledge.parsers.text import TextBuilder

ENCRYPTED = "The PDF is protected by a password. Upload a version without one."
SECURED = (
    "The PDF is encrypted for certain readers only, by certificate or by rights management. "
    "Upload a version without encryption."
)
NO_TEXT = (
    "The PDF has no text layer: its pages are pictures, as a scanner makes them. "
    "Upload a version with selectable text, for example after text recognition (OCR)."
)
HYPHEN = "\ufffe"  # what PDFium gives for a hyphen at the end of a line, instead of the line's end
FONT_NAME = 128  # bytes of a font's name that are looked at
_LEADER = re.compile(r"(?: ?\.){4,} ?")  # the dots of a table of contents
CELL_GAP = 1.0  # times the height of letters; a space between words has a quarter of it
SAMPLED_LETTERS = 20  # of a page, to see which way it is up
QUARTER = math.pi / 2
MAX_RECTANGLES = 60  # PDFium's boxes of one line; more are letters placed one by one
_font_name = ctypes.create_string_buffer(FONT_NAME)  # one for all: a file is read by one thread
_LINE = re.compile(f"([^\r\n{HYPHEN}]+)({HYPHEN}?)")
_index = raw.FPDFText_GetCharIndexFromTextIndex  # a character of a page's text -> PDFium's own number of it


# A page with one word.
_SAMPLE = b"""%PDF-1.1
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 9 9]>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/Contents 5 0 R/Resources<</Font<</F 4 0 R>>>>>>endobj
4 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
5 0 obj<</Length 26>>stream
BT /F 9 Tf (letter) Tj ET
endstream endobj
trailer<</Root 1 0 R>>
"""


def warm_up() -> None:
    """Have PDFium load its fonts and tables now: 7 ms that each fork then need not spend."""
    with contextlib.suppress(pypdfium2.PdfiumError):
        list(_lines(pypdfium2.PdfDocument(_SAMPLE)[0].get_textpage()))


def read(path: str, limits: Limits) -> Parsed:
    try:
        pages = list(_pages_by_pdfium(path, limits))
    except pypdfium2.PdfiumError as error:
        refusal = {raw.FPDF_ERR_PASSWORD: ENCRYPTED, raw.FPDF_ERR_SECURITY: SECURED}.get(error.err_code)
        if refusal:
            raise ParseError(refusal) from error
        pages = []
    if not any(page.lines for page in pages):
        try:
            pages = list(_pages_by_pypdf(path, limits)) or pages
        except ParseError:
            if not pages:  # else PDFium has seen them: without text, not damaged
                raise
    builder = TextBuilder(limits)
    pdf_layout.build(pages, builder)
    if not builder.length:
        raise NoTextLayer(NO_TEXT) if pages else ParseError("The PDF has no pages.")
    return builder.parsed(len(pages))


def _check(pages: int, characters: int, limits: Limits) -> None:
    if pages > limits.pages:
        raise ParseError(f"The PDF has more than {limits.pages:,} pages.")
    if characters > limits.characters:
        raise ParseError(f"The PDF has more than {limits.characters:,} characters of text.")


def _pages_by_pdfium(path: str, limits: Limits) -> Iterator[Page]:
    document = pypdfium2.PdfDocument(path)
    pdf_forms.prepare(document)
    _check(len(document), 0, limits)
    characters = 0
    for index in range(len(document)):
        try:
            page = document[index]
        except pypdfium2.PdfiumError:  # one damaged page does not lose the others
            yield Page(0.0, [])
            continue
        textpage = page.get_textpage()
        characters += textpage.count_chars()
        _check(0, characters, limits)
        yield _page(document, index, page, textpage)
    if pdf_forms.is_portfolio(document, path, characters):
        raise ParseError(pdf_forms.PORTFOLIO)


def _page(
    document: pypdfium2.PdfDocument, index: int, page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage
) -> Page:
    """The page's lines as it stands upright, with what is filled in; page and text are closed."""
    typed = pdf_forms.typed(document, page)
    if turns := _turns(textpage):
        typed = [_turned(line, page.get_bbox(), turns) for line in typed]
        _turn(page, turns)
        textpage.close()
        page.close()
        page = document[index]
        textpage = page.get_textpage()
    lines = list(_lines(textpage))
    height = page.get_height()
    textpage.close()
    page.close()
    return Page(height, pdf_forms.filled_in(lines, typed) if typed else lines)


def _turns(textpage: pypdfium2.PdfTextPage) -> int:
    """How many quarter turns clockwise make most of the page's letters stand upright: a landscape page is one that a
    viewer turns, and letters have their places as they lie on the paper."""
    count = textpage.count_chars()
    angles = [raw.FPDFText_GetCharAngle(textpage.raw, at) for at in range(0, count, count // SAMPLED_LETTERS + 1)]
    turns = [-round(max(angle, 0.0) / QUARTER) % 4 for angle in angles]
    return next((turn for turn in (1, 2, 3) if turns.count(turn) > len(turns) / 2), 0)


def _turn(page: pypdfium2.PdfPage, turns: int) -> None:
    """Turn what is on the page; loaded anew it is upright."""
    box = page.get_bbox()
    page.set_rotation(0)
    for _ in range(turns):
        raw.FPDFPage_TransFormWithClip(page, raw.FS_MATRIX(0, -1, 1, 0, -box[1], box[2]), None)
        box = (0, 0, box[3] - box[1], box[2] - box[0])
    page.set_mediabox(*box)
    page.set_cropbox(*box)


def _turned(line: Line, box: tuple[float, float, float, float], turns: int) -> Line:
    """The line at its place on a page of this box that was turned."""
    for _ in range(turns):
        left, bottom, right, top = line.bottom - box[1], box[2] - line.right, line.top - box[1], box[2] - line.left
        line = line._replace(left=left, bottom=bottom, right=right, top=top)
        box = (0, 0, box[3] - box[1], box[2] - box[0])
    return line


def _lines(textpage: pypdfium2.PdfTextPage) -> Iterator[Line]:
    """The page's lines in the order of its content, each with its box (from its first and last character)."""
    page = textpage.raw  # what PDFium takes; the wrapper would look it up in each of its calls
    text = textpage.get_text_range(errors="replace")
    for match in _LINE.finditer(text):
        written, hyphen = match.groups()
        led = written.count(".") > 3 and bool(_LEADER.search(written))
        line = (_LEADER.sub(" ", written) if led else written).strip()
        if not line:
            continue
        first = match.start() + len(written) - len(written.lstrip())
        last = match.start() + len(written.rstrip()) - 1
        letter = first
        if not text[first].isalnum():  # a bullet may be of any size
            letter = next((at for at in range(first, last) if text[at].isalnum()), first)
        begins, ends = _index(page, letter), _index(page, last)
        start, end = _box(page, begins), _box(page, ends)
        left = start.left if letter == first else _box(page, _index(page, first)).left
        right = end.right
        if right < left:  # written from right to left, or upside down
            left, right = end.left, max(start.right, left)
        bold = _is_bold(_font(page, begins)) and _is_bold(_font(page, ends))
        cells = () if led else _cells(textpage, text, first, last + 1)
        yield Line(line, left, start.bottom, right, start.top, bold, bool(hyphen), cells)


def _cells(textpage: pypdfium2.PdfTextPage, text: str, start: int, end: int) -> tuple[Cell, ...]:
    """The parts of a line that wide gaps part, as in a table or in columns side by side; none if it is one."""
    count = raw.FPDFText_CountRects(textpage.raw, _index(textpage.raw, start), end - start)
    if not 1 < count <= MAX_RECTANGLES:
        return ()
    boxes = sorted(textpage.get_rect(index) for index in range(count))
    starts, lefts, rights = [start], [boxes[0][0]], [boxes[0][2]]
    for left, bottom, right, top in boxes[1:]:
        if left - rights[-1] > CELL_GAP * (top - bottom):
            index = raw.FPDFText_GetCharIndexAtPos(textpage, left + 0.5, (bottom + top) / 2, 2, top - bottom)
            at = raw.FPDFText_GetTextIndexFromCharIndex(textpage, index) if index >= 0 else -1
            if not starts[-1] < at < end:
                return ()  # not written from left to right
            starts.append(at)
            lefts.append(left)
            rights.append(right)
        rights[-1] = max(rights[-1], right)
    if len(starts) > 1 and is_item(text[starts[0] : starts[1]].strip() + " "):  # a bullet is no cell of its own
        del starts[1], lefts[1], rights[0]
    parts = [text[a:b].strip() for a, b in pairwise([*starts, end])]
    cells = tuple(Cell(*cell) for cell in zip(parts, lefts, rights, strict=True))
    return cells if len(cells) > 1 and all(parts) else ()


def _box(page: raw.FPDF_TEXTPAGE, index: int) -> raw.FS_RECTF:
    """The box of a character, with its font's height."""
    box = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(page, index, box)
    return box


def _font(page: raw.FPDF_TEXTPAGE, index: int) -> bytes:
    """The name of a character's font, empty where it has none."""
    _font_name.value = b""
    raw.FPDFText_GetFontInfo(page, index, _font_name, FONT_NAME, None)
    return _font_name.value


@lru_cache(maxsize=256)
def _is_bold(font: bytes) -> bool:
    name = font.lower()
    return b"bold" in name or b"black" in name or b"heavy" in name


def _pages_by_pypdf(path: str, limits: Limits) -> Iterator[Page]:
    import pypdf  # here, because it costs a third of a second of CPU that most files save

    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ParseError(ENCRYPTED)
        count = len(reader.pages)
    except ParseError:
        raise
    except Exception as error:  # pypdf raises whatever a damaged file makes Python raise
        raise ParseError("The PDF is damaged and could not be read.") from error
    _check(count, 0, limits)
    characters = 0
    for number in range(count):
        try:
            text = reader.pages[number].extract_text()
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - likewise; one damaged page does not lose the others
            text = ""
        characters += len(text)
        _check(0, characters, limits)
        yield Page(0.0, _unplaced_lines(text))


def _unplaced_lines(text: str) -> list[Line]:
    """Lines whose place on the page is not known: evenly spaced, full, with a gap where the text has one."""
    lines = []
    for number, line in enumerate(text.split("\n")):
        if line.strip():
            hyphen = line.rstrip().endswith("-")
            lines.append(Line(line.strip().removesuffix("-"), 0, -12 * number, 100, 12 - 12 * number, False, hyphen))
    return lines
