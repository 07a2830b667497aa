"""The ZIP that a Word document is: bounded before it is unpacked, its parts found by relationship."""

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from lxml import etree

from knowledge.parsers.base import ParseError

DAMAGED = "The Word document is damaged and could not be read."
MAX_ENTRIES = 2000
MAX_TOTAL_BYTES = 200 * 1024 * 1024  # unpacked, by the directory; pictures count, though they are never unpacked
MAX_PART_BYTES = 20 * 1024 * 1024  # unpacked, of a part that is read: some 5,000 pages of ordinary text
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError)


def local(element: etree._Element) -> str:
    """The element's name without its namespace: Transitional and Strict documents differ only in that."""
    return _local(element.tag)


@lru_cache(maxsize=1024)  # a document has some fifty, and asks for them a hundred thousand times
def _local(tag: object) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: etree._Element, name: str) -> str | None:
    """The value of an attribute, whatever its namespace."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)


class Relation(NamedTuple):
    """What a part refers to: the last word of the relation's type, which Strict documents share, and the name of a
    part or, if `external`, an address."""

    kind: str
    target: str
    external: bool


class Package:
    """An open Word file. Use as a context manager; everything raises ParseError."""

    def __init__(self, file: str | BinaryIO):
        try:
            self._archive = zipfile.ZipFile(file)
        except _ZIP_ERRORS as error:
            raise ParseError(DAMAGED) from error
        entries = self._archive.infolist()
        if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_TOTAL_BYTES:
            raise ParseError("The Word document is too large once unpacked.")
        self._names = {entry.filename.lower(): entry for entry in entries}
        self._relations: dict[str, dict[str, Relation]] = {}
        self._sources: dict[etree._Element, str] = {}
        self._main = next(self._of_kind("", "officeDocument"), "word/document.xml")

    def __enter__(self) -> "Package":
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def main(self) -> etree._Element:
        root = self._xml(self._main)
        if root is None:
            raise ParseError(DAMAGED)
        return root

    def related(self, kind: str) -> etree._Element | None:
        """The main part's "styles", "numbering", "footnotes" or "endnotes", if it has them."""
        return next((self._xml(name) for name in self._of_kind(self._main, kind)), None)

    def link(self, element: etree._Element) -> str:
        """The address outside the document that a hyperlink leads to, or ""."""
        relation = self._relation(element, "id")
        return relation.target if relation and relation.external else ""

    def part(self, element: etree._Element, name: str = "id") -> tuple[str, bytes]:
        """Name and bytes of the part that an element's attribute refers to; empty where there is none."""
        relation = self._relation(element, name)
        data = None if relation is None or relation.external else self._bytes(relation.target)
        return ("", b"") if relation is None or data is None else (relation.target, data)

    def xml(self, element: etree._Element, name: str = "id") -> etree._Element | None:
        """The part that an element's attribute refers to, if it is one of XML."""
        part, data = self.part(element, name)
        return self._parsed(part, data) if data else None

    def _relation(self, element: etree._Element, name: str) -> Relation | None:
        source = self._sources.get(element.getroottree().getroot(), "")
        return self._related_to(source).get(attribute(element, name) or "")

    def _of_kind(self, source: str, kind: str) -> Iterator[str]:
        return (each.target for each in self._related_to(source).values() if each.kind == kind and not each.external)

    def _related_to(self, source: str) -> dict[str, Relation]:
        """What a part refers to, by the ids that it uses."""
        if source not in self._relations:
            folder, name = posixpath.split(source)
            root = self._xml(posixpath.join(folder, "_rels", f"{name}.rels"))
            found = self._relations[source] = {}
            for each in root if root is not None else ():
                external, target = each.get("TargetMode") == "External", each.get("Target", "")
                if not external:
                    target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                found.setdefault(
                    each.get("Id", ""), Relation(each.get("Type", "").rpartition("/")[2], target, external)
                )
        return self._relations[source]

    def _xml(self, name: str) -> etree._Element | None:
        data = self._bytes(name)
        return None if data is None else self._parsed(name, data)

    def _parsed(self, name: str, data: bytes) -> etree._Element:
        root = _parse_xml(data)
        self._sources[root] = name
        return root

    def _bytes(self, name: str) -> bytes | None:
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
        return data


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
