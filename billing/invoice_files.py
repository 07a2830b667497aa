"""An invoice as a file: CSV for a spreadsheet, PDF for people. The same invoice always gives the same bytes."""

import csv
import io
from pathlib import Path
from xml.sax.saxutils import escape

from django.conf import settings
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from billing.models import Invoice
from billing.money import money

COLUMNS = ("invoice", "kind", "month", "client", "currency", "line", "description", "hour", "requests", "quantity",
           "amount")  # fmt: skip
FONT = Path(__file__).parent / "data/Arimo.ttf"
WIDTHS = (112 * mm, 24 * mm, 34 * mm)
TITLES = {Invoice.Kind.INVOICE: "Invoice", Invoice.Kind.CREDIT_NOTE: "Credit note"}


def as_csv(invoice: Invoice) -> str:
    """A row for each line under a row of COLUMNS; amounts as decimals. In the client's scope."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    head = (invoice.number, invoice.kind, f"{invoice.month:%Y-%m}", _harmless(invoice.client_name), invoice.currency)
    for line in invoice.lines.all():
        hour = line.hour.strftime("%Y-%m-%dT%H:%MZ") if line.hour else ""
        amount = money(line.amount_cents, invoice.currency).split()[0].replace(",", "")
        writer.writerow((*head, line.kind, _harmless(line.description), hour, line.requests, line.quantity, amount))
    return out.getvalue()


def as_pdf(invoice: Invoice) -> bytes:
    """A4 pages; the table of lines goes on over as many as it needs. In the client's scope."""
    out = io.BytesIO()
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), 20 * mm)
    title = f"{TITLES[Invoice.Kind(invoice.kind)]} {invoice.number}"
    document = SimpleDocTemplate(out, pagesize=A4, title=title, author=settings.INVOICE_SELLER, invariant=1, **margins)
    document.build([*_heading(invoice, title), Spacer(1, 8 * mm), _table(invoice)])
    return out.getvalue()


def _heading(invoice: Invoice, title: str) -> list[Flowable]:
    facts = [
        settings.INVOICE_SELLER,
        f"To: {invoice.client_name}",
        f"Month: {invoice.month:%B %Y}",
        f"Date: {invoice.issued:%d %B %Y}",
        f"For invoice: {invoice.credits.number}" if invoice.credits else "",
        f"Reason: {invoice.reason}" if invoice.reason else "",
    ]
    return [_text(title, 18), Spacer(1, 6 * mm), *(_text(fact) for fact in facts if fact)]


def _table(invoice: Invoice) -> Table:
    rows: list[list[Flowable | str]] = [["Description", "Quantity", "Amount"]]
    for line in invoice.lines.all():
        rows.append([_text(line.description), str(line.quantity), money(line.amount_cents, invoice.currency)])
    rows.append(["Total", "", money(invoice.total_cents, invoice.currency)])
    style = TableStyle(
        [
            ("FONT", (0, 0), (-1, 0), "Helvetica-Bold"),
            ("FONT", (0, -1), (-1, -1), "Helvetica-Bold"),
            ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ("LINEBELOW", (0, 0), (-1, -2), 0.3, colors.lightgrey),
        ]
    )
    return Table(rows, colWidths=WIDTHS, repeatRows=1, style=style)


def _text(text: str, size: int = 10) -> Paragraph:
    return Paragraph(escape(text), ParagraphStyle("text", fontName=_font(text), fontSize=size, leading=size * 1.4))


def _font(text: str) -> str:
    """Helvetica and, for East Asia, STSong are with every reader; Arimo is put into the file, and has what Helvetica
    has not: Central European, Turkish, Greek and Cyrillic letters."""
    try:
        text.encode("cp1252")
        return "Helvetica"
    except UnicodeEncodeError:
        if "Arimo" not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
            pdfmetrics.registerFont(TTFont("Arimo", FONT))  # last: other threads ask for it
        known = pdfmetrics.getFont("Arimo").face.charToGlyph
        return "Arimo" if all(ord(letter) in known for letter in text) else "STSong-Light"


def _harmless(text: str) -> str:
    """A spreadsheet takes what begins so for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
