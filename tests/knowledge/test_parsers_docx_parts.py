"""DOCX: what a reader sees that lies outside the text itself: links, drawings made from data, documents within."""

from pathlib import Path

import pytest

from tests.knowledge.files import make_docx, make_docx_body, parse_bytes, replace_part
from tests.knowledge.test_parsers_docx import paragraph, run, text_of

R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
TAKEN_IN = f'<w:altChunk xmlns:r="{R}" r:id="rId1"/>'


def with_part(body: str, kind: str, name: str, content: bytes | str) -> bytes:
    """A document whose part `word/{name}` has the id rId1."""
    data = make_docx_body(body)
    relation = f'<Relationship Id="rId1" Type="{R}/{kind}" Target="{name}"/>'
    links = "".join(
        f'<Relationship Id="rId{number}" Type="{R}/hyperlink" Target="{address}" TargetMode="External"/>'
        for number, address in ((2, "https://shop.example/book"), (3, "mailto:help@shop.example"), (4, "file:///etc/x"))
    )
    namespace = "http://schemas.openxmlformats.org/package/2006/relationships"
    relations = f'<Relationships xmlns="{namespace}">{relation}{links}</Relationships>'
    data = replace_part(data, "word/_rels/document.xml.rels", relations.encode())
    return replace_part(data, f"word/{name}", content if isinstance(content, bytes) else content.encode())


def read(body: str, kind: str = "nothing", name: str = "nothing", content: bytes | str = b"") -> str:
    return parse_bytes(with_part(body, kind, name, content), "docx").text


def drawing(reference: str) -> str:
    return paragraph(f'<w:r><w:drawing xmlns:r="{R}"><graphic>{reference}</graphic></w:drawing></w:r>')


def field(order: str, result: str) -> str:
    def mark(kind: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'

    return f"{mark('begin')}<w:r><w:instrText>{order}</w:instrText></w:r>{mark('separate')}{result}{mark('end')}"


def link(number: int, text: str) -> str:
    return f'<w:hyperlink xmlns:r="{R}" r:id="rId{number}">{run(text)}</w:hyperlink>'


def test_where_a_link_leads_is_told_unless_its_text_says_so() -> None:
    body = paragraph(
        f"{run('Book ')}{link(2, 'here')}{run(' or ')}{link(3, 'write')}{run(', not ')}{link(4, 'there')}."
    )
    shown = paragraph(link(2, "www.shop.example/book") + run(", ") + link(3, "help@shop.example"))
    assert read(body + shown) == (
        "Book here (https://shop.example/book) or write (help@shop.example), not there\n\n"
        "www.shop.example/book, help@shop.example"
    )
    order = "HYPERLINK &quot;https://shop.example/a&quot; \\h"
    assert read(paragraph(field(order, run("Sizes")))) == "Sizes (https://shop.example/a)"


def test_of_a_field_only_the_result_is_read() -> None:
    nested = f"IF </w:instrText></w:r>{field('MERGEFIELD x', run('1'))}<w:r><w:instrText> = 1 yes no"
    assert text_of(paragraph(field(nested, run("yes")))) == "yes"


def test_symbols_and_formulas_and_what_is_raised_keep_their_meaning() -> None:
    raised = '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t>{}</w:t></w:r>'
    check, degree = (
        f'<w:r><w:sym w:font="{font}" w:char="{code}"/></w:r>'
        for font, code in (("Wingdings", "F0FC"), ("Symbol", "F0B0"))
    )
    assert text_of(paragraph(run("Wi-Fi ") + check + run(" up to 20 ") + degree)) == "Wi-Fi ✓ up to 20 °"
    assert (
        text_of(paragraph(run("5 × 10") + raised.format("3") + run(" g, 20") + raised.format("1"))) == "5 × 10³ g, 20¹"
    )
    assert text_of(paragraph(run("The 21") + raised.format("st") + run(" day"))) == "The 21st day"

    def m(text: str) -> str:
        return f"<m:r><m:t>{text}</m:t></m:r>"

    half = f"<m:f><m:num>{m('1')}</m:num><m:den>{m('2')}</m:den></m:f>"
    power = f"<m:sSup><m:e>{m('10')}</m:e><m:sup>{m('3')}</m:sup></m:sSup>"
    group = f"<m:d><m:e>{m('a+b')}</m:e></m:d><m:rad><m:deg/><m:e>{m('7')}</m:e></m:rad>"
    formula = f'<m:oMath xmlns:m="{MATH}">{m("x =")}{half}{power}{group}</m:oMath>'
    assert text_of(paragraph(formula)) == "x = 1/2 10^3(a+b)√(7)"


def test_a_large_first_letter_belongs_to_its_word() -> None:
    frame = '<w:pPr><w:framePr w:dropCap="drop" w:lines="3"/></w:pPr>'
    assert text_of(paragraph(frame + run("B")) + paragraph(run("oots last."))) == "Boots last."


def test_what_a_style_hides_is_not_read() -> None:
    def styled(kind: str, style: str, hides: bool = True) -> str:
        return f'<w:style w:type="{kind}" w:styleId="{style}"><w:rPr>{"<w:vanish/>" if hides else ""}</w:rPr></w:style>'

    body = paragraph('<w:pPr><w:pStyle w:val="Guide"/></w:pPr>' + run("Fill this in."))
    body += paragraph('<w:r><w:rPr><w:rStyle w:val="Secret"/></w:rPr><w:t>no</w:t></w:r>' + run("Boots last."))
    styles = f"{styled('paragraph', 'Guide')}{styled('character', 'Secret')}"
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    assert read(body, "styles", "styles.xml", f'<w:styles xmlns:w="{namespace}">{styles}</w:styles>') == "Boots last."


PAGE = """<html><head><title>T</title><style>p {}</style></head><body><h1>Returns</h1><p>Within <b>60</b> days &amp;
free.</p><ul><li>Boots</li><li>Hats</li></ul>
<p style="display: none">Hidden</p><script>x()</script>Bye.</body></html>"""
MAIL = b"MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.html", PAGE, "Returns\n\nWithin 60 days & free.\n\n- Boots\n- Hats\n\nBye."),
        ("a.mht", MAIL + b"<p>caf=C3=A9</p>", "café"),
        ("a.txt", "Größe\n\nFarbe\n".encode("utf-16"), "Größe\n\nFarbe"),
        ("a.docx", make_docx(["# Care", "Brush."]), "Care\n\nBrush."),
        ("a.docx", with_part(paragraph(run("One.")) + TAKEN_IN, "aFChunk", "b.docx", make_docx(["Two."])), "One."),
        ("a.rtf", b"{\\rtf1}", ""),
    ],
    ids=["page", "archive", "text", "word", "word within word", "another kind"],
)
def test_a_document_that_is_taken_in_whole_is_read_at_its_place(name: str, content: bytes | str, text: str) -> None:
    body = paragraph(run("Before.")) + TAKEN_IN + paragraph(run("After."))
    parts = ["Before.", text, "After."] if text else ["Before.", "After."]
    assert read(body, "aFChunk", name, content) == "\n\n".join(parts)


def test_a_page_that_is_taken_in_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("top secret")
    page = f'<!DOCTYPE html [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><p>a &x; b</p>'
    assert "secret" not in read(TAKEN_IN, "aFChunk", "a.xhtml", page)


def test_smartart_is_a_list_in_the_order_of_its_shapes() -> None:
    def point(key: int, text: str) -> str:
        return f'<d:pt modelId="{key}"><d:t><a:p><a:r><a:t>{text}</a:t></a:r></a:p></d:t></d:pt>'

    def below(source: int, target: int, order: int) -> str:
        return f'<d:cxn srcId="{source}" destId="{target}" srcOrd="{order}"/>'

    points = '<d:pt modelId="0" type="doc"/>' + point(1, "Send") + point(2, "Order") + point(3, "by post")
    points += '<d:pt modelId="4" type="pres"><d:t><a:t>drawn</a:t></d:t></d:pt>'
    lines = below(0, 1, 1) + below(0, 2, 0) + below(1, 3, 0) + below(3, 1, 0)  # the last one leads back
    lines += '<d:cxn type="presOf" srcId="0" destId="4" srcOrd="5"/>'
    data = f'<d:dataModel xmlns:d="d" xmlns:a="a"><d:ptLst>{points}</d:ptLst><d:cxnLst>{lines}</d:cxnLst></d:dataModel>'
    body = paragraph(run("Steps")) + drawing('<d:relIds xmlns:d="d" r:dm="rId1"/>')
    assert read(body, "diagramData", "diagrams/data1.xml", data) == "Steps\n\n- Order\n- Send\n- by post"


def test_a_chart_is_read_as_the_table_that_it_shows() -> None:
    def cache(*values: str) -> str:
        points = "".join(f'<c:pt idx="{index}"><c:v>{value}</c:v></c:pt>' for index, value in enumerate(values))
        return f"<c:cache>{points}</c:cache>"

    def series(name: str, *values: str) -> str:
        names = f"<c:tx>{cache(name)}</c:tx><c:cat>{cache('Spring', 'Autumn')}</c:cat>"
        return f"<c:ser>{names}<c:val>{cache(*values)}</c:val></c:ser>"

    title = "<c:title><a:t>Pairs sold</a:t></c:title>"
    plots = f"<c:barChart>{series('Boots', '4.2999999999999998', '2')}{series('Hats', '1')}</c:barChart>"
    chart = f'<c:chartSpace xmlns:c="c" xmlns:a="a"><c:chart>{title}{plots}</c:chart></c:chartSpace>'
    body = drawing('<c:chart xmlns:c="c" r:id="rId1"/>')
    text = "Pairs sold\n\nSpring; Boots: 4.3; Hats: 1\nAutumn; Boots: 2"
    assert read(body, "chart", "charts/chart1.xml", chart) == text
