"""DOCX: everything a reader of the document sees, in order, and nothing that was deleted or hidden."""

import pytest
from docx.document import Document

from knowledge.parsers import ParseError
from tests.knowledge.files import make_docx, make_docx_body, parse_bytes, replace_part

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(content: str) -> str:
    return f"<w:p>{content}</w:p>"


def text_of(body: str, namespace: str = W) -> str:
    return parse_bytes(make_docx_body(body, namespace), "docx").text


def test_headings_lists_and_tables_keep_their_structure_and_order() -> None:
    def build(document: Document) -> None:
        document.add_heading("Size guide", 0)
        document.add_heading("Boots", 1)
        document.add_paragraph("Measure in the evening.")
        document.add_paragraph("Stand up", style="List Number")
        document.add_paragraph("Measure both feet", style="List Number")
        table = document.add_table(0, 2)
        for cells in (("Size", "Foot length"), ("42", "26 cm"), ("43", "27 cm")):
            for cell, text in zip(table.add_row().cells, cells, strict=True):
                cell.text = text
        document.add_heading("Care", 1)
        document.add_paragraph("Brush", style="List Bullet")

    parsed = parse_bytes(make_docx(build), "docx")
    assert [(parsed.text[b.start : b.end], b.kind, b.heading_path) for b in parsed.blocks] == [
        ("Size guide", "heading", ("Size guide",)),
        ("Boots", "heading", ("Size guide", "Boots")),
        ("Measure in the evening.", "paragraph", ("Size guide", "Boots")),
        ("1. Stand up", "list", ("Size guide", "Boots")),
        ("2. Measure both feet", "list", ("Size guide", "Boots")),
        ("Size; Foot length", "row", ("Size guide", "Boots")),
        ("Size: 42; Foot length: 26 cm", "row", ("Size guide", "Boots")),
        ("Size: 43; Foot length: 27 cm", "row", ("Size guide", "Boots")),
        ("Care", "heading", ("Size guide", "Care")),
        ("- Brush", "list", ("Size guide", "Care")),
    ]


def test_merged_and_nested_cells_are_read_once_and_in_their_column() -> None:
    def cell(content: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>"

    def row(*cells: str, properties: str = "") -> str:
        return f"<w:tr><w:trPr>{properties}</w:trPr>{''.join(cells)}</w:tr>"

    nested = f"<w:tbl>{row(cell(paragraph(run('wet'))), cell(paragraph(run('dry'))))}</w:tbl>{paragraph('')}"
    body = "<w:tbl>" + "".join(
        (
            row(*(cell(paragraph(run(name))) for name in ("Item", "Price", "Note")), properties="<w:tblHeader/>"),
            row(
                cell(paragraph(run("Boot")), '<w:vMerge w:val="restart"/>'),
                cell(paragraph(run("20"))),
                cell(nested),
            ),
            row(cell(paragraph(""), "<w:vMerge/>"), cell(paragraph(run("sold out")), '<w:gridSpan w:val="2"/>')),
            row(cell(paragraph(run("Gone"))), properties="<w:del/>"),
        )
    )
    assert text_of(body + "</w:tbl>") == "Item: Boot; Price: 20; Note: wet; dry\nItem: Boot; Price: sold out"


@pytest.mark.parametrize(
    ("look", "text"),
    [
        ("", "Returns; By post\nContact; By mail\nCity; Leeds"),
        ("bold", "Returns; By post\nReturns: Contact; By post: By mail\nReturns: City; By post: Leeds"),
        ("styled", "Returns; By post\nReturns: Contact; By post: By mail\nReturns: City; By post: Leeds"),
    ],
)
def test_two_columns_of_words_are_pairs_unless_their_first_row_looks_like_a_header(look: str, text: str) -> None:
    def build(document: Document) -> None:
        table = document.add_table(3, 2, style="Light Grid" if look == "styled" else None)
        for row, cells in zip(
            table.rows, (("Returns", "By post"), ("Contact", "By mail"), ("City", "Leeds")), strict=True
        ):
            for cell, word in zip(row.cells, cells, strict=True):
                cell.paragraphs[0].add_run(word).bold = look == "bold" and word in ("Returns", "By post")

    assert parse_bytes(make_docx(build), "docx").text == text


def test_a_title_over_all_columns_of_a_table_names_none() -> None:
    def build(document: Document) -> None:
        table = document.add_table(3, 3)
        table.cell(0, 0).merge(table.cell(0, 2)).text = "Tea, by the cup"
        for row, cells in zip(table.rows[1:], (("Kind", "Small", "Large"), ("Green", "2", "3")), strict=True):
            for cell, word in zip(row.cells, cells, strict=True):
                cell.text = word

    assert (
        parse_bytes(make_docx(build), "docx").text
        == "Tea, by the cup\nKind; Small; Large\nKind: Green; Small: 2; Large: 3"
    )


@pytest.mark.parametrize("namespace", [W, STRICT], ids=["transitional", "strict"])
def test_content_controls_insertions_and_text_boxes_are_kept_deletions_and_comments_are_not(namespace: str) -> None:
    box = f"<w:txbxContent>{paragraph(run('In a box.'))}</w:txbxContent>"
    body = "".join(
        (
            f"<w:sdt><w:sdtContent>{paragraph(run('In a control.'))}</w:sdtContent></w:sdt>",
            paragraph(
                run("Kept ")
                + f'<w:ins w:id="1">{run("inserted ")}</w:ins>'
                + '<w:del w:id="2"><w:r><w:delText>deleted</w:delText></w:r></w:del>'
                + '<w:commentRangeStart w:id="3"/>'
                + f"<w:hyperlink>{run('linked')}</w:hyperlink>"
                + '<w:r><w:fldChar w:fldCharType="begin"/><w:instrText>PAGEREF x</w:instrText></w:r>'
                + "<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>"
                + f"<w:moveFrom>{run('old place')}</w:moveFrom>"
                + "."
            ),
            paragraph(
                run("Anchor")
                + '<w:r><mc:AlternateContent xmlns:mc="mc">'
                + f"<mc:Choice><w:drawing>{box}</w:drawing></mc:Choice>"
                + f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
            ),
        )
    )
    assert text_of(body, namespace) == "In a control.\n\nKept inserted linked\n\nAnchor\n\nIn a box."


def test_several_bodies_are_read_one_after_the_other() -> None:
    assert text_of(f"{paragraph(run('One.'))}</w:body><w:body>{paragraph(run('Two.'))}") == "One.\n\nTwo."


def test_footnotes_follow_their_paragraph() -> None:
    body = paragraph(run("Boots last") + '<w:r><w:footnoteReference w:id="2"/></w:r>' + run(".")) + paragraph(
        run("End.")
    )
    data = make_docx_body(body)
    itself = '<w:r><w:footnoteReference w:id="2"/></w:r>'  # a note that refers to itself must not run for ever
    note = f'<w:footnote w:id="2">{paragraph(run("With care.") + itself)}</w:footnote>'
    notes = f'<w:footnotes xmlns:w="{W}">{note}</w:footnotes>'
    relationships = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId9" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes" Target="footnotes.xml"/>'
        "</Relationships>"
    )
    data = replace_part(data, "word/footnotes.xml", notes.encode())
    data = replace_part(data, "word/_rels/document.xml.rels", relationships.encode())
    assert parse_bytes(data, "docx").text == "Boots last [1].\n\n[1] With care.\n\nEnd."


def test_no_entity_is_ever_resolved(tmp_path) -> None:  # type: ignore[no-untyped-def]
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    for declaration in (f'<!ENTITY x SYSTEM "file://{secret}">', '<!ENTITY x "inside">'):
        body = f"<w:body>{paragraph(run('a &x; b'))}</w:body>"
        xml = f'<!DOCTYPE d [{declaration}]><w:document xmlns:w="{W}">{body}</w:document>'
        with pytest.raises(ParseError, match="document type"):
            parse_bytes(replace_part(make_docx([]), "word/document.xml", xml.encode()), "docx")


def test_an_empty_document_is_told() -> None:
    with pytest.raises(ParseError, match="no text"):
        parse_bytes(make_docx([]), "docx")
