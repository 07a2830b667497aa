"""The ZIP that a Word document is: bounded before it is unpacked, its parts found by relationship."""

import posixpath
import zipfile
import zlib

from lxml import etree

from knowledge.parsers.base import ParseError

DAMAGED = "The Word document is damaged and could not be read."
MAX_ENTRIES = 2000
MAX_TOTAL_BYTES = 200 * 1024 * 1024  # unpacked, by the directory; pictures count, though they are never unpacked
MAX_PART_BYTES = 20 * 1024 * 1024  # unpacked, of a part that is read: some 5,000 pages of ordinary text
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError)


def local(element: etree._Element) -> str:
    """The element's name without its namespace: Transitional and Strict documents differ only in that."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def attribute(element: etree._Element, name: str) -> str | None:
    """The value of an attribute, whatever its namespace."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)


class Package:
    """An open Word file. Use as a context manager; everything raises ParseError."""

    def __init__(self, path: str):
        try:
            self._archive = zipfile.ZipFile(path)
        except _ZIP_ERRORS as error:
            raise ParseError(DAMAGED) from error
        entries = self._archive.infolist()
        if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_TOTAL_BYTES:
            raise ParseError("The Word document is too large once unpacked.")
        self._names = {entry.filename.lower(): entry for entry in entries}
        self._main = self._targets("").get("officeDocument", "word/document.xml")
        self._related = self._targets(self._main)

    def __enter__(self) -> "Package":
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def main(self) -> etree._Element:
        root = self._part(self._main)
        if root is None:
            raise ParseError(DAMAGED)
        return root

    def related(self, kind: str) -> etree._Element | None:
        """The main part's "styles", "numbering", "footnotes" or "endnotes", if it has them."""
        return self._part(self._related[kind]) if kind in self._related else None

    def _targets(self, source: str) -> dict[str, str]:
        """Part names by the last word of their relationship's type, which Strict documents share."""
        folder, name = posixpath.split(source)
        root = self._part(posixpath.join(folder, "_rels", f"{name}.rels"))
        targets: dict[str, str] = {}
        for relationship in root if root is not None else ():
            kind, target = relationship.get("Type", ""), relationship.get("Target", "")
            if relationship.get("TargetMode") != "External":
                path = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                targets.setdefault(kind.rpartition("/")[2], path)
        return targets

    def _part(self, name: str) -> etree._Element | None:
        entry = self._names.get(name.lower())
        if entry is None:
            return None
        try:
            with self._archive.open(entry) as stream:
                data = stream.read(MAX_PART_BYTES + 1)
        except _ZIP_ERRORS as error:
            raise ParseError(DAMAGED) from error
        if len(data) > MAX_PART_BYTES:
            raise ParseError("The Word document is too large once unpacked.")
        return _parse_xml(data)


def _parse_xml(data: bytes) -> etree._Element:
    """No entity, external file or network address is ever resolved; a part with a DTD is refused outright."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ParseError(DAMAGED) from error
    if root.getroottree().docinfo.doctype:
        raise ParseError("The Word document declares a document type (DTD), which Word never does. It was not read.")
    return root
