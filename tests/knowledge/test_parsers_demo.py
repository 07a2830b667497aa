"""The demo documents are real files of each type that say what the demonstration asks."""

from pathlib import Path

import knowledge
from knowledge.chunking import chunk
from knowledge.parsers import check_type, parse

DEMO = Path(knowledge.__file__).parent / "demo"


def test_each_demo_document_is_what_it_says_and_gives_chunks() -> None:
    files = sorted(DEMO.iterdir())
    assert {path.suffix for path in files} == {".pdf", ".docx", ".txt", ".csv"}
    for path in files:
        check_type(path.read_bytes(), path.suffix[1:], path.name)
        assert len(chunk(parse(path, path.suffix[1:]))) > 2


def test_the_returns_policy_says_how_long_boots_may_be_returned() -> None:
    spans = chunk(parse(DEMO / "returns-and-shipping.pdf", "pdf"))
    answers = [span for span in spans if "Boots may be returned within 60 days of delivery" in span.text]
    assert [(span.page_from, "How long you have" in span.text) for span in answers] == [(1, True)]
