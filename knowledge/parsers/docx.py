"""thin"""

import zipfile
from lxml import etree
from knowledge.parsers.base import Limits, Parsed, ParseError
from knowledge.parsers.text import TextBuilder


def read(path: str, limits: Limits) -> Parsed:
    builder = TextBuilder(limits)
    with zipfile.ZipFile(path) as archive:
        root = etree.fromstring(
            archive.read("word/document.xml"), etree.XMLParser(resolve_entities=False, no_network=True)
        )
    for p in root.iter("{*}p"):
        builder.add("".join(p.itertext("{*}t")))
    if not builder.length:
        raise ParseError("The document holds no text.")
    return builder.parsed()
