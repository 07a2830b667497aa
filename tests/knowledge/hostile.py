"""Files made to harm their reader, each small enough to be uploaded."""

import io
import random
import zipfile
import zlib
from collections.abc import Iterator, Sequence

from docx.document import Document
from reportlab.pdfgen.canvas import Canvas

from tests.knowledge.files import draw_pdf, make_csv, make_docx, make_docx_body, replace_part

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
ZEROS = bytes(1 << 20)


def pdf_objects(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalog."""
    data = b"%PDF-1.7\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    end = b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, trailer, len(data))
    return data + head + table + end


def pdf_stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def pdf_page(contents: bytes, resources: bytes, *more: bytes) -> bytes:
    """One page with a content stream (object 4), its resources, and further objects from 5 on."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << %s >> >>" % resources
    tree = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    return pdf_objects([b"<< /Type /Catalog /Pages 2 0 R >>", tree, page, contents, *more])


def deflated_zeros(megabytes: int) -> bytes:
    compressor = zlib.compressobj(9)
    return b"".join(compressor.compress(ZEROS) for _ in range(megabytes)) + compressor.flush()


def pdf_of_zeros() -> bytes:
    """Half a gigabyte of page content in a few kilobytes, deflated twice."""
    twice = zlib.compress(deflated_zeros(512), 9)
    return pdf_page(pdf_stream(twice, b"/Filter [/FlateDecode /FlateDecode]"), b"")


def pdf_fan_out(leaf: bytes = b"q Q") -> bytes:
    """Forms that draw the next form eight times each, eight levels deep: 16 million times the leaf."""
    font = b"/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << %s >>"
    forms = [pdf_stream(b"/X Do " * 8, form % b"/XObject << /X %d 0 R >>" % number) for number in range(6, 14)]
    return pdf_page(pdf_stream(b"/X Do"), b"/XObject << /X 5 0 R >>", *forms, pdf_stream(leaf, form % font))


def pdf_of_too_much_text() -> bytes:
    return pdf_fan_out(b"BT /F 9 Tf (boots) Tj ET")


def pdf_of_operators() -> bytes:
    """A million and a half pieces of text on one page."""
    font = b"/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
    compressor = zlib.compressobj(9)
    block = b"BT /F 9 Tf 1 0 0 1 7 7 Tm (a) Tj ET\n" * 30_000
    content = b"".join(compressor.compress(block) for _ in range(50)) + compressor.flush()
    return pdf_page(pdf_stream(content, b"/Filter /FlateDecode"), font)


def pdf_loops() -> Iterator[bytes]:
    catalog = b"<< /Type /Catalog /Pages 2 0 R >>"
    yield pdf_objects([catalog, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 9 >>"])
    yield pdf_objects([catalog, b"<< /Type /Pages /Parent 2 0 R /Kids [1 0 R 2 0 R] /Count 1000000000 >>"])
    yield pdf_page(
        pdf_stream(b"/X Do"),
        b"/XObject << /X 5 0 R >>",
        pdf_stream(b"/X Do /X Do", b"/Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >>"),
    )
    yield pdf_objects([catalog, b"<< /Type /Pages /Kids [] /Count 0 >>"], b"/Prev 9")
    yield pdf_page(b"4 0 R", b"")
    yield pdf_page(pdf_stream(b"[" * 200_000), b"")
    yield pdf_objects([b"<< /Type /Catalog /Pages " + b"[" * 100_000])
    pages = b"<< /Type /Pages /Kids [%s] /Count 100000 >>" % (b"3 0 R " * 100_000)
    yield pdf_objects([catalog, pages, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"])


def docx_of_empty_paragraphs(count: int = 2_800_000) -> bytes:
    return make_docx_body("<w:p/>" * count)


def docx_bombs() -> Iterator[bytes]:
    yield make_docx_body("<w:p><w:r><w:t>" + "boots " * 8_000_000 + "</w:t></w:r></w:p>")
    yield make_docx_body("<w:p><w:r><w:t>" + "boots " * 3_000_000 + "</w:t></w:r></w:p>")
    yield docx_of_empty_paragraphs(500_000)
    yield make_docx_body("<w:sdt>" * 100_000 + "</w:sdt>" * 100_000)
    yield make_docx_body("<w:sdt>" * 250 + "<w:p/>" + "</w:sdt>" * 250)
    cells = "<w:tbl><w:tr><w:tc>" * 80
    yield make_docx_body(f"{cells}<w:p><w:r><w:t>deep</w:t></w:r></w:p>{'</w:tc></w:tr></w:tbl>' * 80}")
    yield make_docx_body(
        '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="999999999"/></w:tcPr></w:tc><w:tc/></w:tr></w:tbl>'
    )
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    body = f'<w:document xmlns:w="{W}"><w:body><w:p><w:r><w:t>&l9;</w:t></w:r></w:p></w:body></w:document>'
    bomb = f'<!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]>{body}'
    yield replace_part(make_docx([]), "word/document.xml", bomb.encode())
    looped = f'<w:styles xmlns:w="{W}"><w:style w:styleId="Normal"><w:basedOn w:val="Normal"/></w:style></w:styles>'
    yield replace_part(make_docx(["Text"]), "word/styles.xml", looped.encode())
    buffer = io.BytesIO(make_docx(["Text"]))
    with zipfile.ZipFile(buffer, "a") as archive:
        for number in range(5000):
            archive.writestr(f"word/media/{number}.png", b"")
    yield buffer.getvalue()


def text_bombs(size: int) -> Iterator[bytes]:
    yield random.Random(1).randbytes(size)
    for unit in (
        "#",
        "# ",
        "-",
        "\n",
        "a\n",
        "a\n-\n",
        "- \n",
        "`",
        "e\u0301",
        "\u0301",
        " \u0301",
        "靴",
        " ",
        "\ufeff",
        "ÿ",
        "«",
        "Ã",
    ):
        yield (unit * (size // len(unit.encode()))).encode()
        if unit == "ÿ":
            yield b"\xff\x00" * (size // 2)


def csv_bombs(size: int) -> Iterator[bytes]:
    for unit in (",", '"', '",', '"a"', "a,b\n", "a;b,c\td|e\n", "\n", ",\n", '""', "a" * 1000 + ","):
        yield (unit * (size // len(unit))).encode()
    yield make_csv([("name", "text"), ("x", "word " * (size // 5))]).replace(b"word word", b'word"', 1000)


def good_files() -> dict[str, bytes]:
    """One richly structured file of each type, PDF streams not compressed, so that mutants reach deep."""

    def draw(canvas: Canvas) -> None:
        canvas.setPageCompression(0)
        for page in range(3):
            for row in range(20):
                canvas.drawString(
                    72, 760 - 14 * row, f"Line {row} of page {page}: boots may be returned within 60 days."
                )
            canvas.rect(10, 10, 50, 50)
            canvas.showPage()

    def build(document: Document) -> None:
        document.add_heading("Guide", 0)
        for name in ("List Number", "List Bullet", "Normal"):
            document.add_paragraph("An item of text", style=name)
        table = document.add_table(3, 3)
        for row in table.rows:
            for cell in row.cells:
                cell.text = "cell"

    text = "# Help\n\nBoots may be returned.\n\n- one\n- two\n\nÜber uns\n---\nText.\n" * 20
    rows = [("name", "price"), *((f"item {n}", n) for n in range(100))]
    return {"pdf": draw_pdf(draw), "docx": make_docx(build), "txt": text.encode("cp1252"), "csv": make_csv(rows)}


def mutants(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged versions of the good files, the same for the same seed."""
    chance = random.Random(seed)
    good = good_files()
    for number in range(count):
        kind = ("pdf", "docx", "txt", "csv", "pdf", "docx")[number % 6]
        data = good[kind]
        if kind == "docx" and chance.random() < 0.8:  # inside the ZIP, where its checksums do not end the matter
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                name = chance.choice([entry for entry in archive.namelist() if entry.endswith((".xml", ".rels"))])
                part = archive.read(name)
            yield kind, replace_part(data, name, _mutant(part, chance))
        else:
            yield kind, _mutant(data, chance)


def _mutant(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 5, 20, 100))):
        at, end = sorted(chance.randrange(len(changed)) for _ in range(2))
        end = min(end, at + 60) + 1
        changed[at:end] = _change(bytes(changed), at, end, chance)
        if not changed:
            return b""
    return bytes(changed[: chance.randrange(len(changed))] if chance.random() < 0.1 else changed)


def _change(data: bytes, at: int, end: int, chance: random.Random) -> bytes:
    """In place of `data[at:end]`: noise, nothing, more of the same, a wild number, or bytes from elsewhere."""
    elsewhere = chance.randrange(len(data))
    return chance.choice(
        (
            chance.randbytes(1) + data[at + 1 : end],
            chance.randbytes(end - at),
            b"",
            data[at:end] * chance.choice((2, 50)),
            str(chance.choice((-1, 0, 2**31, 2**63, 10**30))).encode(),
            data[elsewhere : elsewhere + end - at],
        )
    )
