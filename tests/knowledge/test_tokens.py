"""Tokens are counted from the shipped table, without a network, and estimated when it is damaged."""

import hashlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge import tokens

TEXT = "Boots: 60 days. Stiefel, 靴, 👟!"


@pytest.fixture
def fresh() -> Iterator[None]:
    tokens._table.cache_clear()
    yield
    tokens._table.cache_clear()


def test_the_shipped_tables_are_the_published_ones() -> None:
    published = {
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    }
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tokens.TABLE.parent.iterdir()}
    assert files == published


def test_tokens_are_counted_without_a_network(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", None)
    assert tokens.count("hello world") == 2
    assert tokens.count("<|endoftext|>") == 7  # as text, not as the one special token
    assert tokens.count("") == 0


def test_a_damaged_table_is_estimated_for_with_one_line_in_the_log_and_left_alone(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "table"
    table.write_bytes(tokens.TABLE.read_bytes()[:-10])
    monkeypatch.setattr(tokens, "TABLE", table)
    with caplog.at_level(logging.ERROR, "knowledge.tokens"):
        assert tokens.count("x" * 300) == 100
        assert tokens.starts("靴靴").tolist() == [0, 1]
    assert len(caplog.records) == 1
    assert table.exists()


@given(st.text())
def test_each_token_has_a_place_and_places_are_in_order(text: str) -> None:
    places = tokens.starts(text).tolist()
    assert len(places) == tokens.count(text)
    assert places == sorted(places)
    assert all(0 <= place < len(text) for place in places)
    assert not text or places[0] == 0
