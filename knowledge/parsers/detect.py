"""What a file is, by its content. Runs in the request, so it looks at signatures and directories only."""

import io
import re
import zipfile
from pathlib import PurePath
from typing import TYPE_CHECKING

from knowledge.parsers.encodings import escaped_encoding, wide_encoding

if TYPE_CHECKING:
    from tenants.errors import ApiError

EXTENSIONS = {
    "pdf": {".pdf"},
    "docx": {".docx", ".docm"},
    "txt": {".txt", ".text", ".md", ".markdown", ".rst", ".log"},
    "csv": {".csv", ".tsv"},
}
NAMES = {"pdf": "a PDF", "docx": "a Word document (.docx)", "txt": "a text file", "csv": "a CSV file"}
# First bytes of what people send by mistake, with the name to tell them.
SIGNATURES = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or password-protected Office file"),
    (b"{\\rtf", "an RTF file"),
    (b"\x89PNG\r\n\x1a\n", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"II*\0", "a picture"),
    (b"MM\0*", "a picture"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\0", "a program"),
    (b"\x1f\x8b", "a compressed file"),
    (b"7z\xbc\xaf\x27\x1c", "a compressed file"),
    (b"Rar!\x1a\x07", "a compressed file"),
    (b"SQLite format 3\0", "a database"),
)
SAMPLE = 65536
PDF_HEADER_WITHIN = 1024  # readers accept a PDF whose header follows other bytes, up to here
_LATE_HEADER = re.compile(rb"[\r\n]%PDF-\d")
MAX_ZIP_ENTRIES = 2000
MAX_EXTENSION = 10  # characters


def check_type(data: bytes, declared: str, original_name: str) -> None:
    """Raise ApiError UNSUPPORTED_FILE_TYPE unless content, declared type and the name's extension agree."""
    if declared not in EXTENSIONS:
        raise _refusal("Only PDF, DOCX, TXT and CSV files can be added.")
    extension = _extension(original_name)
    if extension and extension not in EXTENSIONS[declared]:
        raise _refusal(f"The file's name ends in {extension}, but it was sent as {NAMES[declared]}.")
    found = "pdf" if declared == "pdf" and b"%PDF-" in data[:PDF_HEADER_WITHIN] else _content(data)
    if found != (declared if declared in ("pdf", "docx") else "text"):
        raise _refusal(f"The file is not {NAMES[declared]}: it looks like {NAMES.get(found, found)}.")


def _refusal(message: str) -> "ApiError":
    from tenants.errors import ApiError  # here, because the child imports this package and does without Django

    return ApiError("UNSUPPORTED_FILE_TYPE", message)


def _extension(name: str) -> str:
    """The extension in lower case, or "": a title may hold a dot without one ("Notes v1.2", "To Dr. Brown")."""
    suffix = PurePath(name.replace("\\", "/")).suffix.lower()
    return suffix if suffix[1:2].isalpha() and suffix[1:].isalnum() and len(suffix) <= MAX_EXTENSION else ""


def _content(data: bytes) -> str:
    """ "pdf", "docx", "text", or what else it looks like, in words."""
    for signature, name in SIGNATURES:
        if data.startswith(signature):
            return name
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_content(data)
    head = data[:PDF_HEADER_WITHIN]
    if head.lstrip(b"\xef\xbb\xbf\0\r\n\t ").startswith(b"%PDF-"):
        return "pdf"
    if _LATE_HEADER.search(head) and data[-PDF_HEADER_WITHIN:].rstrip(b"\0\r\n\t ").endswith(b"\n%%EOF"):
        return "pdf"  # after the commands of a printer, or of a mail
    return "text" if _is_text(data[:SAMPLE]) else "binary data"


def _zip_content(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(archive.filelist) > MAX_ZIP_ENTRIES:
                return "an archive of too many files"
            names = {entry.filename for entry in archive.filelist}
    except Exception:  # noqa: BLE001 - zipfile raises a dozen kinds for a damaged directory
        return "a damaged ZIP or Office file"
    if "[Content_Types].xml" not in names:
        return "a ZIP archive"
    folders = {name.partition("/")[0] for name in names}
    for folder, name in (("xl", "an Excel workbook"), ("ppt", "a PowerPoint presentation"), ("word", "docx")):
        if folder in folders:
            return name
    return "docx"  # the main part may lie anywhere; its reader follows the package's own directions


def _is_text(sample: bytes) -> bool:
    """Hardly any control characters, in whatever encoding the sample seems to be."""
    if encoding := wide_encoding(sample) or escaped_encoding(sample):
        text = sample.decode(encoding, "ignore")
        return sum(character < " " and not character.isspace() for character in text) <= 0.02 * len(text)
    controls = sum(sample.count(bytes([code])) for code in (*range(9), *range(14, 27), *range(28, 32), 127))
    return controls <= 0.1 * len(sample)
