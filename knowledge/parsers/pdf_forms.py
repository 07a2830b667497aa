"""What is filled into a PDF's forms or typed onto its pages; and PDFs whose pages only say what can show the rest."""

import contextlib
import ctypes
from collections.abc import Callable, Sequence

import pypdfium2
from pypdfium2 import raw

from knowledge.parsers.base import ParseError
from knowledge.parsers.pdf_shapes import Line

DYNAMIC = (
    "The PDF is a dynamic form (XFA), whose text is not on its pages. "
    "Open it in Adobe Acrobat, print it to a new PDF, and upload that."
)
PORTFOLIO = "The PDF is a portfolio: its pages only introduce the files within. Upload those files themselves."
COVER_CHARACTERS = 1_000  # a page of a portfolio has fewer: it names the programs that open it
MAX_ANNOTATIONS = 1_000  # looked at on one page
LETTERS = 12.0  # points; the height of letters in a field without a label beside it
_VALUES = (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX)
_BOXES = (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON)
_PASSWORD = 1 << 13  # the flag of a field that shows dots
_UNSEEN = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW


def prepare(document: pypdfium2.PdfDocument) -> None:
    """Have the values of forms at hand; ParseError where the pages have no content."""
    kind = document.get_formtype()
    if kind == raw.FORMTYPE_XFA_FULL:
        raise ParseError(DYNAMIC)
    if kind == raw.FORMTYPE_ACRO_FORM:
        with contextlib.suppress(pypdfium2.PdfiumError):
            document.init_forms()


def typed(document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> list[Line]:
    """What is filled into the page's form and typed onto the page, which PDFium does not count among its text."""
    lines = []
    for index in range(min(raw.FPDFPage_GetAnnotCount(page), MAX_ANNOTATIONS)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if text := _text(annotation, document.formenv).strip():
            box = raw.FS_RECTF()
            raw.FPDFAnnot_GetRect(annotation, box)
            lines.append(Line(text, box.left, box.bottom, box.right, box.top, False, False))
        raw.FPDFPage_CloseAnnot(annotation)
    return lines


def filled_in(lines: Sequence[Line], typed: Sequence[Line]) -> list[Line]:
    """The lines with each typed one at its place among them, as high as the label that it stands beside."""
    filled = list(lines)
    for line in typed:
        place, label = _place(filled, line)
        bottom = label.bottom if label else line.top - LETTERS
        top = label.top if label else line.top
        filled.insert(place, line._replace(bottom=bottom, top=top))
    return filled


def is_portfolio(document: pypdfium2.PdfDocument, path: str, characters: int) -> bool:
    """Whether the document is but the cover of the files that it holds."""
    if not document.count_attachments() or len(document) > 1 or characters > COVER_CHARACTERS:
        return False
    import pypdf  # here, because it costs a third of a second of CPU that most files save

    try:
        return "/Collection" in pypdf.PdfReader(path).root_object
    except Exception:  # noqa: BLE001 - pypdf raises whatever a damaged file makes Python raise
        return False


def _text(annotation: raw.FPDF_ANNOTATION, form: pypdfium2.PdfFormEnv | None) -> str:
    """What a reader of the page sees of the annotation, if that is text: not a note that opens at a click."""
    subtype = raw.FPDFAnnot_GetSubtype(annotation)
    if raw.FPDFAnnot_GetFlags(annotation) & _UNSEEN:
        return ""
    if subtype == raw.FPDF_ANNOT_FREETEXT:
        return _string(lambda buffer, size: raw.FPDFAnnot_GetStringValue(annotation, b"Contents", buffer, size))
    if subtype != raw.FPDF_ANNOT_WIDGET or form is None:
        return ""
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in _BOXES:
        return "☒" if raw.FPDFAnnot_IsChecked(form, annotation) else "☐"
    if kind not in _VALUES or raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        return ""
    return _string(lambda buffer, size: raw.FPDFAnnot_GetFormFieldValue(form, annotation, buffer, size))


def _string(read: Callable[[ctypes.Array[ctypes.c_ushort] | None, int], int]) -> str:
    """A text that PDFium writes into a buffer as UTF-16, with a NUL at its end, once it is told the buffer's size."""
    size = read(None, 0)
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    read(buffer, size)
    return bytes(buffer)[: max(size - 2, 0)].decode("utf-16-le", "replace")


def _place(lines: Sequence[Line], line: Line) -> tuple[int, Line | None]:
    """Where among the lines it belongs, and its label: behind the nearest line to its left, else below the last one
    above it."""
    beside = [
        (other.right, index)
        for index, other in enumerate(lines)
        if other.right <= line.left + 1 and min(other.top, line.top) - max(other.bottom, line.bottom) > other.height / 2
    ]
    if beside:
        _, index = max(beside)
        return index + 1, lines[index]
    above = [index for index, other in enumerate(lines) if other.bottom >= line.top - 1]
    return max(above, default=-1) + 1, None
