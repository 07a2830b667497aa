"""PDF: text in reading order with pages and structure, clear reasons where there is none."""

import io
from collections.abc import Callable

import pypdf
import pytest
from pypdf.generic import ArrayObject, BooleanObject, DictionaryObject, NameObject, TextStringObject
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from knowledge.parsers import ParseError
from tests.knowledge.files import draw_pdf, make_pdf, make_scan, parse_bytes


def test_headings_paragraphs_and_pages_are_kept() -> None:
    first = "# Returns\n\nBoots may be returned within 60 days.\n\nTents within 30 days."
    parsed = parse_bytes(make_pdf([first, "# Shipping\n\nWe ship on weekdays."]), "pdf")
    assert parsed.text == (
        "Returns\n\nBoots may be returned within 60 days.\n\nTents within 30 days.\n\nShipping\n\nWe ship on weekdays."
    )
    assert parsed.pages == 2
    assert [(parsed.text[b.start : b.end], b.kind, b.page, b.heading_path) for b in parsed.blocks] == [
        ("Returns", "heading", 1, ("Returns",)),
        ("Boots may be returned within 60 days.", "paragraph", 1, ("Returns",)),
        ("Tents within 30 days.", "paragraph", 1, ("Returns",)),
        ("Shipping", "heading", 2, ("Shipping",)),
        ("We ship on weekdays.", "paragraph", 2, ("Shipping",)),
    ]


def test_words_parted_at_a_line_end_are_joined_but_compounds_keep_their_hyphen() -> None:
    lines = "The water-proof shell needs infor-\nmation on care. It is a water-\nproof and self-\nhosted thing indeed."
    parsed = parse_bytes(make_pdf([lines]), "pdf")
    words = parsed.text.replace("\n", " ")
    assert "information on care" in words
    assert words.count("water-proof") == 2
    assert "self-hosted" in words


def test_repeated_headers_and_footers_are_dropped_but_repeated_text_is_not() -> None:
    pages = [f"All sizes run small.\nChapter {name} of the guide." for name in ("one", "two", "three")]
    data = make_pdf(pages, header="Acme Outdoor - Size guide", footer="Page {page} of 3")
    assert parse_bytes(data, "pdf").text == "\n\n".join(pages)


def test_pages_with_nothing_but_the_same_line_are_not_empty() -> None:
    data = make_pdf(["", "", ""], header="Ticket to the summit", footer="Page {page}")
    assert parse_bytes(data, "pdf").text.count("Ticket to the summit") == 3


def test_text_is_read_in_order_of_place_when_it_was_written_out_of_order() -> None:
    def draw(canvas: Canvas) -> None:
        for y, text in ((500, "Third paragraph."), (600, "Second paragraph."), (700, "First paragraph.")):
            canvas.drawString(72, y, text)

    assert parse_bytes(draw_pdf(draw), "pdf").text == "First paragraph.\n\nSecond paragraph.\n\nThird paragraph."


def test_columns_are_read_one_after_the_other() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.drawString(
            72, 780, "A title over both of the columns, which is wide enough to cross the gutter between."
        )
        for column in (1, 0):  # the right column is written first
            for row in range(6):
                canvas.drawString(72 + 260 * column, 700 - 14 * row, f"column {column} row {row} of some length")

    text = parse_bytes(draw_pdf(draw), "pdf").text
    places = [text.index(f"column {column} row {row}") for column in (0, 1) for row in range(6)]
    assert text.startswith("A title")
    assert places == sorted(places)


def test_columns_that_were_written_line_by_line_are_read_one_after_the_other() -> None:
    def draw(canvas: Canvas) -> None:
        for row in range(6):
            for column in (0, 1):
                canvas.drawString(72 + 260 * column, 700 - 14 * row, f"Column {column} row {row} of some length")

    rows = [[f"Column {column} row {row} of some length" for row in range(6)] for column in (0, 1)]
    assert parse_bytes(draw_pdf(draw), "pdf").text == "\n\n".join(" ".join(column) for column in rows)


def test_text_upside_down_among_columns_is_read_too() -> None:
    def draw(canvas: Canvas) -> None:
        for column in (1, 0):
            for row in range(3):
                canvas.drawString(72 + 260 * column, 700 - 14 * row, f"column {column} row {row} of some length")
        for y in (500, 560):
            canvas.saveState()
            canvas.translate(540, y)
            canvas.rotate(180)
            canvas.drawString(0, 0, f"Turned at {y}, to be read by someone opposite")
            canvas.restoreState()

    text = parse_bytes(draw_pdf(draw), "pdf").text
    assert text.count("column") == 6 and text.index("column 0") < text.index("column 1")
    assert all(f"Turned at {y}, to be read by someone opposite" in text for y in (500, 560))


def test_a_table_is_read_by_rows_with_its_headers() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.drawString(72, 740, "Charges for delivery are as follows.")
        for row, cells in enumerate((("Destination", "Charge"), ("Leeds", "2 pounds"), ("Far away", "9 pounds"))):
            for column, cell in enumerate(cells):
                canvas.drawString(72 + 150 * column, 700 - 18 * row, cell)

    parsed = parse_bytes(draw_pdf(draw), "pdf")
    assert [(parsed.text[b.start : b.end], b.kind) for b in parsed.blocks] == [
        ("Charges for delivery are as follows.", "paragraph"),
        ("Destination; Charge", "row"),
        ("Destination: Leeds; Charge: 2 pounds", "row"),
        ("Destination: Far away; Charge: 9 pounds", "row"),
    ]


@pytest.mark.parametrize("bold", [False, True])
def test_two_columns_of_words_are_pairs_unless_their_first_row_is_bold(bold: bool) -> None:
    def draw(canvas: Canvas) -> None:
        for row, cells in enumerate((("Returns", "By post"), ("Contact", "By mail"), ("City", "Leeds"))):
            canvas.setFont("Helvetica-Bold" if bold and not row else "Helvetica", 11)
            for column, cell in enumerate(cells):
                canvas.drawString(72 + 150 * column, 700 - 18 * row, cell)

    rows = (
        "Returns: Contact; By post: By mail\nReturns: City; By post: Leeds" if bold else "Contact; By mail\nCity; Leeds"
    )
    assert parse_bytes(draw_pdf(draw), "pdf").text == f"Returns; By post\n{rows}"


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("shown", ["upright", "as it lies"])
def test_a_page_that_is_turned_is_read_like_one_that_is_not(turn: int, shown: str) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica-Bold", 18)
        canvas.drawString(72, 400, "Charges")
        canvas.setFont("Helvetica", 11)
        canvas.drawString(72, 370, "All charges are in euros, and there are none")
        canvas.drawString(72, 356, "where you fetch the boots.")
        for number, row in enumerate((("Country", "Days", "Charge"), ("France", "3", "5"), ("Spain", "4", "7"))):
            for column, cell in enumerate(row):
                canvas.drawString(72 + 120 * column, 320 - 16 * number, cell)

    def turned(canvas: Canvas) -> None:
        canvas.translate(*{90: (A4[0], 0), 180: A4, 270: (0, A4[1])}[turn])
        canvas.rotate(turn)
        draw(canvas)
        if shown == "upright":
            canvas.setPageRotation(turn)

    upright = parse_bytes(draw_pdf(draw), "pdf")
    assert upright.text.endswith("Country: Spain; Days: 4; Charge: 7")
    assert parse_bytes(draw_pdf(turned), "pdf") == upright


@pytest.mark.parametrize("turn", [0, 90])
def test_what_is_filled_into_a_form_or_typed_onto_a_page_is_read_beside_its_label(turn: int) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.translate(A4[0] if turn else 0, 0)
        canvas.rotate(turn)
        for number, label in enumerate(("Opening hours:", "Newsletter:", "City:", "All of this may change any day.")):
            canvas.drawString(72, 400 - 40 * number, label)
        form = canvas.acroForm
        form.textfield(name="hours", value="Mon-Fri 9-17", **place(170, 395, 100))
        form.textfield(name="pin", value="1234", fieldFlags="password", **place(330, 395, 100))
        form.choice(name="city", value="Paris", options=["Leeds", "Paris"], **place(170, 315, 100))
        for name, checked, x in (("yes", True, 170), ("no", False, 200)):
            at = place(x, 355, 20)
            form.checkbox(name=name, checked=checked, size=20, x=at["x"], y=at["y"])
        canvas.setPageRotation(turn)

    def place(x: float, y: float, width: float) -> dict[str, float]:
        """Where a field of a height of 20 lies on the paper."""
        if turn:
            return {"x": A4[0] - y - 20, "y": x, "width": 20, "height": width}
        return {"x": x, "y": y, "width": width, "height": 20}

    said = "Opening hours: Mon-Fri 9-17 Newsletter: ☒ ☐ City: Paris All of this may change any day."
    assert " ".join(parse_bytes(draw_pdf(draw), "pdf").text.split()) == said


def _changed(data: bytes, change: Callable[[pypdf.PdfWriter, DictionaryObject], object]) -> bytes:
    """A PDF with its catalogue changed."""
    writer, buffer = pypdf.PdfWriter(clone_from=io.BytesIO(data)), io.BytesIO()
    change(writer, writer.root_object)
    writer.write(buffer)
    return buffer.getvalue()


def test_pages_that_only_say_what_can_show_the_rest_are_no_document() -> None:
    def make_dynamic(writer: pypdf.PdfWriter, root: DictionaryObject) -> None:
        form = DictionaryObject({NameObject("/Fields"): ArrayObject(), NameObject("/XFA"): TextStringObject("<xdp/>")})
        root.update({NameObject("/AcroForm"): form, NameObject("/NeedsRendering"): BooleanObject(True)})

    def make_portfolio(writer: pypdf.PdfWriter, root: DictionaryObject) -> None:
        writer.add_attachment("inside.pdf", make_pdf(["Boots last."]))
        root[NameObject("/Collection")] = DictionaryObject()

    def attach(writer: pypdf.PdfWriter, root: DictionaryObject) -> None:
        writer.add_attachment("invoice.xml", b"<invoice/>")

    with pytest.raises(ParseError, match="dynamic form"):
        parse_bytes(_changed(make_pdf(["Please wait..."]), make_dynamic), "pdf")
    with pytest.raises(ParseError, match="portfolio"):
        parse_bytes(_changed(make_pdf(["Open this in Acrobat."]), make_portfolio), "pdf")
    assert parse_bytes(_changed(make_pdf(["Boots last."]), attach), "pdf").text == "Boots last."


def test_a_sentence_goes_on_over_the_page() -> None:
    parsed = parse_bytes(make_pdf(["We will refund the price of the boots to the card", "that you paid with."]), "pdf")
    assert parsed.text == "We will refund the price of the boots to the card that you paid with."
    assert [block.page for block in parsed.blocks] == [1, 2]


def test_a_password_is_told_and_an_empty_one_is_none() -> None:
    with pytest.raises(ParseError, match="protected by a password"):
        parse_bytes(make_pdf(["Secret"], password="hunter2"), "pdf")
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf(["Open to readers"])))
    writer.encrypt(user_password="", owner_password="owner", algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    assert parse_bytes(buffer.getvalue(), "pdf").text == "Open to readers"


def test_a_scan_is_told_to_have_no_text_layer() -> None:
    with pytest.raises(ParseError, match="no text layer"):
        parse_bytes(make_scan(2), "pdf")


def test_encryption_for_certain_readers_is_told_as_such() -> None:
    data = make_pdf(["Secret"]).replace(b"/Root", b"/Encrypt << /Filter /Adobe.PubSec /V 4 >> /Root")
    with pytest.raises(ParseError, match="encrypted for certain readers"):
        parse_bytes(data, "pdf")


def test_a_damaged_scan_is_a_scan() -> None:
    """PDFium has seen its pages; pypdf, which is asked for text then, fails."""
    with pytest.raises(ParseError, match="no text layer"):
        parse_bytes(make_scan().replace(b"startxref", b"         "), "pdf")


def test_pypdf_reads_what_pdfium_refuses() -> None:
    """PDFium wants the trailer to name the root; pypdf looks for it among the objects."""
    data = make_pdf(["Read by the second reader"])
    assert data.count(b"/Root") == 1
    assert parse_bytes(data.replace(b"/Root", b"/Roof"), "pdf").text == "Read by the second reader"


def test_too_many_pages_and_too_much_text_are_told(settings) -> None:  # type: ignore[no-untyped-def]
    settings.PARSE_MAX_PAGES = 2
    with pytest.raises(ParseError, match="more than 2 pages"):
        parse_bytes(make_pdf(["a", "b", "c"]), "pdf")
    settings.PARSE_MAX_CHARACTERS = 10
    with pytest.raises(ParseError, match="more than 10 characters"):
        parse_bytes(make_pdf(["a long line of text"]), "pdf")
