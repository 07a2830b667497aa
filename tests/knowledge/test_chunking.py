"""Chunks: spans of the parsed text, within the limit, with nothing lost, cut where a reader would pause."""

import time
from itertools import pairwise

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge import tokens
from knowledge.chunking import MAX_TOKENS, OVERLAP_TOKENS, Span, chunk
from knowledge.parsers import Parsed
from knowledge.parsers.base import Limits
from knowledge.parsers.text import TextBuilder

LIMITS = Limits(seconds=30, memory=1 << 29, characters=10_000_000, pages=10, rows=100_000)
SENTENCE = "The boots may be returned within sixty days when they were not worn outside. "


def built(*blocks: tuple[str, str] | tuple[str, str, int]) -> Parsed:
    """A document of (kind, text) or (kind, text, page); a heading's kind is its level."""
    builder = TextBuilder(LIMITS)
    for kind, text, *page in blocks:
        if kind.isdigit():
            builder.heading(text, int(kind), *page)
        else:
            builder.add(text, kind, *page)
    return builder.parsed()


def check(parsed: Parsed) -> list[Span]:
    """Everything that is true of the chunks of any document."""
    spans = chunk(parsed)
    covered = 0
    for index, span in enumerate(spans):
        assert span.index == index
        assert span.text == parsed.text[span.start : span.end]
        assert span.text == span.text.strip() != ""
        assert span.tokens == tokens.count(span.text) <= MAX_TOKENS
        assert not parsed.text[covered : span.start].strip(), "text was lost between chunks"
        assert span.end > covered, "a chunk brings nothing new"
        covered = span.end
    assert not parsed.text[covered:].strip(), "text was lost at the end"
    return spans


KINDS = st.sampled_from(["paragraph", "list", "row", "footnote", "1", "2"])
WORDS = st.sampled_from(
    ["boots", "Don't", "靴を返品。", "12.5", "e\u0301", "👨\u200d👩\u200d👧", "\n", "!?", "...", "x" * 90, "-", "İ"]
)
TEXTS = st.one_of(
    st.text(max_size=300), st.lists(WORDS, max_size=400).map(" ".join), st.lists(WORDS, max_size=900).map("".join)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(KINDS, TEXTS), max_size=12))
def test_any_document_is_cut_without_loss_and_within_the_limit(blocks: list[tuple[str, str]]) -> None:
    parsed = built(*blocks)
    assert check(parsed) == chunk(parsed)


@settings(max_examples=60, deadline=None)
@given(TEXTS.map(lambda text: text * 5))
def test_text_without_structure_is_cut_likewise(text: str) -> None:
    check(Parsed(text, (), None))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(["👨\u200d👩\u200d👧", "e\u0301", "नी", "🇩🇪", "각", "靴"]), min_size=300, max_size=900
    ).map("".join)
)
def test_a_cut_is_never_inside_a_grapheme(text: str) -> None:
    boundaries = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
    assert all({span.start, span.end} <= boundaries for span in check(Parsed(text, (), None)))


@pytest.mark.parametrize("text", ["", "\n", "\n" * 100_000, " \n\t"])
def test_nothing_gives_nothing(text: str) -> None:
    assert chunk(Parsed(text, (), None)) == []


def test_one_word() -> None:
    assert chunk(Parsed("Boots", (), None)) == [Span(0, "Boots", 0, 5, tokens.count("Boots"), None, None, ())]


@pytest.mark.parametrize("unit", ["x", "靴", SENTENCE, "\u0301", " "], ids=repr)
def test_one_line_of_two_megabytes_is_cut_in_seconds(unit: str) -> None:
    line = unit * (2_000_000 // len(unit.encode()))
    started = time.process_time()
    check(Parsed("Begin " + line + " end", (), None))
    assert time.process_time() - started < 20


def test_a_paragraph_of_exactly_the_limit_is_one_chunk() -> None:
    text = "boots" + " boots" * 1000
    place = int(tokens.starts(text)[MAX_TOKENS])
    exact = text[:place]
    assert [span.tokens for span in check(built(("paragraph", exact)))] == [MAX_TOKENS]
    one_more = text[: int(tokens.starts(text)[MAX_TOKENS + 1])]
    assert len(check(built(("paragraph", one_more)))) == 2


def test_paragraphs_are_cut_between_sentences_and_overlap_by_whole_ones() -> None:
    spans = check(built(("paragraph", SENTENCE * 100)))
    assert all(span.text.startswith("The boots") and span.text.endswith("outside.") for span in spans)
    for before, after in pairwise(spans):
        assert 0 < tokens.count(before.text[after.start - before.start :]) <= OVERLAP_TOKENS
    assert min(span.tokens for span in spans[:-1]) > 0.9 * MAX_TOKENS


def test_a_heading_stays_with_its_text_and_gives_its_path_and_pages() -> None:
    blocks = [("1", "Returns", 1), ("paragraph", SENTENCE * 20, 1), ("2", "Boots", 2), ("paragraph", SENTENCE * 20, 2)]
    blocks += [("paragraph", SENTENCE * 2, 3), ("1", "Shipping", 3), ("paragraph", "Free.", 3)]
    spans = check(built(*blocks))
    assert [(span.heading_path, span.page_from, span.page_to, span.text[:8]) for span in spans] == [
        (("Returns",), 1, 1, "Returns\n"),
        (("Returns", "Boots"), 2, 3, "Boots\n\nT"),
        (("Shipping",), 3, 3, "Shipping"),
    ]


def test_a_heading_is_never_the_end_of_a_chunk() -> None:
    for sentences in range(1, 40):
        spans = check(built(("paragraph", SENTENCE * sentences), ("1", "Boots"), ("paragraph", SENTENCE * 40)))
        assert not any(span.text.endswith("\nBoots") for span in spans)


def test_rows_are_never_split_unless_one_is_larger_than_a_chunk() -> None:
    rows = [f"name: item {n}; price: {n}; note: {SENTENCE.strip() * (n % 7)}" for n in range(200)]
    rows[100] = "name: large; note: " + SENTENCE * 60
    parsed = built(*(("row", row) for row in rows))
    edges = {edge for block in parsed.blocks for edge in (block.start, block.end)}
    large = parsed.blocks[100]
    for span in check(parsed):
        for edge in (span.start, span.end):
            assert edge in edges or large.start < edge < large.end


def test_chinese_without_spaces_is_cut_at_its_full_stops() -> None:
    spans = check(built(("paragraph", "靴子可以在六十天内退回,即使包装已经打开。" * 200)))
    assert all(span.text.endswith("。") and span.text.startswith("靴子") for span in spans)
