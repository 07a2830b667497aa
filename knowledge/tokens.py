"""Tokens as OpenAI's `cl100k_base` counts them, which `text-embedding-3-small` uses, from a table shipped with us."""

import base64
import hashlib
import logging
import re
from functools import cache
from pathlib import Path

import numpy as np
import tiktoken

log = logging.getLogger("knowledge.tokens")

# OpenAI's published table (file name, SHA-256 and pattern as in tiktoken's `cl100k_base`).
TABLE = Path(__file__).parent / "data" / "tiktoken" / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
LONGEST_BLANK = 100_000  # characters of white space in a row; of about 500,000 the tokenizer's stack overflows
_BLANK = re.compile(rf"\s{{{LONGEST_BLANK}}}")
BYTES_PER_TOKEN = 3  # of the estimate: English has 4 to 5 a token, Chinese about 3 (one character)


def count(text: str) -> int:
    """How many tokens `text` has. Text that looks like a special token counts as the text it is."""
    table = _table()
    if table is None:
        return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)
    return len(_encode(table[0], text))


def starts(text: str) -> np.ndarray:
    """Where each token of `text` begins, as int64 character offsets in order; one pass over the text.

    Tokens that share a character (an emoji has several) begin at the same offset.
    """
    data = text.encode("utf-8", "replace")
    table = _table()
    if table is None:
        offsets = np.arange(0, len(data), BYTES_PER_TOKEN)
    else:
        encoding, lengths = table
        widths = lengths[np.array(_encode(encoding, text), dtype=np.int64)]
        offsets = np.cumsum(widths) - widths
    if len(data) == len(text):
        return offsets
    begins_character = (np.frombuffer(data, dtype=np.uint8) & 0xC0) != 0x80
    return (np.cumsum(begins_character) - 1)[offsets]


def _encode(encoding: tiktoken.Encoding, text: str) -> list[int]:
    if len(text) < LONGEST_BLANK:
        return encoding.encode_ordinary(text)
    tokens: list[int] = []
    start = 0
    for blank in _BLANK.finditer(text):
        tokens += encoding.encode_ordinary(text[start : blank.end()])
        start = blank.end()
    return tokens + encoding.encode_ordinary(text[start:])


@cache
def _table() -> tuple[tiktoken.Encoding, np.ndarray] | None:
    """The tokenizer and its tokens' lengths in bytes; None where the table is damaged.

    Never reads from the network, as tiktoken's own loader would, nor deletes the file, as it also would.
    """
    try:
        data = TABLE.read_bytes()
    except OSError:
        data = b""
    if hashlib.sha256(data).hexdigest() != SHA256:
        log.error("The token table %s is missing or damaged: tokens are estimated from the length of the text.", TABLE)
        return None
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in data.splitlines())}
    lengths = np.zeros(max(ranks.values()) + 1, dtype=np.int64)
    lengths[list(ranks.values())] = [len(token) for token in ranks]
    return tiktoken.Encoding("cl100k_base", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={}), lengths
