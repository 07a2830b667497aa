"""Makers of small real files for tests: PDF, DOCX, CSV and TXT as their usual programs write them."""

import csv
import io
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import docx
import pypdfium2
from docx.document import Document
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from knowledge.parsers import Parsed, parse

LINE = 14  # points between lines of 11-point text


def make_pdf(pages: Sequence[str], *, password: str | None = None, header: str = "", footer: str = "") -> bytes:
    """A PDF of the given pages, each line of a page's text on a line of its own; "# " makes a heading."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, encrypt=password)
    for number, text in enumerate(pages, 1):
        canvas.setFont("Helvetica", 9)
        canvas.drawString(72, 810, header.replace("{page}", str(number)))
        canvas.drawString(72, 30, footer.replace("{page}", str(number)))
        for index, line in enumerate(text.split("\n")):
            heading = line.startswith("# ")
            canvas.setFont("Helvetica-Bold" if heading else "Helvetica", 18 if heading else 11)
            canvas.drawString(72, 760 - LINE * index, line.removeprefix("# "))
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def draw_pdf(draw: Callable[[Canvas], None]) -> bytes:
    """A PDF of whatever `draw` puts on a canvas."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def make_scan(pages: int = 1) -> bytes:
    """A PDF whose pages are pictures only."""

    def draw(canvas: Canvas) -> None:
        for number in range(pages):
            if number:
                canvas.showPage()
            canvas.rect(72, 72, 300, 500, fill=1)

    return draw_pdf(draw)


def scanned(pdf: bytes) -> bytes:
    """A PDF as it comes back from a printer and a scanner: a picture of each page, a little grey."""

    def draw(canvas: Canvas) -> None:
        for number, page in enumerate(pypdfium2.PdfDocument(pdf)):
            if number:
                canvas.showPage()
            picture = page.render(scale=2).to_pil().convert("L").point(lambda shade: 30 + shade * 4 // 5)
            canvas.drawImage(ImageReader(picture), 0, 0, *A4)

    return draw_pdf(draw)


def make_docx(build: Callable[[Document], object] | Sequence[str]) -> bytes:
    """A Word file that `build` fills, or one of the given paragraphs; "# " makes a heading."""
    document = docx.Document()
    if callable(build):
        build(document)
    else:
        for text in build:
            if text.startswith("# "):
                document.add_heading(text[2:], 1)
            else:
                document.add_paragraph(text)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def make_docx_body(xml: str, namespace: str = "http://schemas.openxmlformats.org/wordprocessingml/2006/main") -> bytes:
    """A Word file with this XML (prefix w) as its body, for what python-docx cannot write."""
    document = f'<w:document xmlns:w="{namespace}"><w:body>{xml}</w:body></w:document>'
    return replace_part(make_docx([]), "word/document.xml", document.encode())


def replace_part(data: bytes, name: str, content: bytes) -> bytes:
    """The ZIP `data` with one part replaced or added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if entry.filename != name:
                new.writestr(entry.filename, old.read(entry))
        new.writestr(name, content)
    return buffer.getvalue()


def make_csv(rows: Sequence[Sequence[object]], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    """A CSV file of these rows, the first being the header where there is one."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue().encode(encoding)


def make_txt(text: str, encoding: str = "utf-8") -> bytes:
    return text.encode(encoding)


def parse_bytes(data: bytes, file_type: str) -> Parsed:
    """What the product's parser reads from a file of these bytes."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        return parse(Path(file.name), file_type)
