"""Bytes to text, whatever the encoding."""

import codecs
import re

from charset_normalizer import from_bytes

from knowledge.parsers.latin import latin_encoding

_WIDE_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ESCAPES = ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$", "iso2022_jp"))
_HIGH_BYTES = (*range(9), 14, 48)  # that begin UTF-16 characters of alphabets: Latin 0 to Arabic 6, Thai 14, kana 48
SAMPLE = 65536
_ASCII = bytes(range(0x80))
_WITHIN_CHARACTERS = bytes(range(0x30, 256))  # the bytes that may be a part of a character of several
GOOD_TO_BAD = 10  # so many characters of UTF-8 for each byte that is none: other encodings hardly ever make one
# One Chinese character at a Latin letter, or one letter of another alphabet by itself.
_ALONE_IN_A_WORD = re.compile(
    "(?<=[A-Za-z])[\u2e80-\uffef](?![\u2e80-\uffef])|(?<![\u2e80-\uffef])[\u2e80-\uffef](?=[a-z])"
    "|(?<![\u0250-\u1cff])[\u0250-\u1cff](?![\u0250-\u1cff])"
)
_WIDE = ["utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"]
_PRINTED = bytes(range(0x20, 0x7F)) + b"\t\r\n"


def decode(data: bytes) -> str:
    """The text of `data`, without its mark; never fails: bytes that no encoding explains become U+FFFD."""
    sample = data[:SAMPLE]
    encoding = wide_encoding(sample)
    if encoding:
        return data.decode(encoding, "replace").removeprefix("\ufeff")
    data = data.replace(b"\0", b"")
    for encoding in filter(None, (escaped_encoding(sample), "utf-8")):
        try:
            return data.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            pass
    return _damaged_utf8(data) or data.decode(_narrow_encoding(data), "replace")


def _damaged_utf8(data: bytes) -> str | None:
    """The text, if it is UTF-8 but for a few bytes, as where a program has cut it; None if it is not."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    bad = text.count("\ufffd")
    ascii_ones = len(data) - len(data.translate(None, _ASCII))
    good = len(text) - ascii_ones - bad
    return text if good >= GOOD_TO_BAD * bad else None


def _narrow_encoding(data: bytes) -> str:
    for sample in _samples(data):
        plain = len(sample.translate(None, _PRINTED)) < 0.2 * len(sample)
        best = from_bytes(sample, cp_exclusion=_WIDE if plain else None).best()
        if best is not None and not _is_latin(str(best)):
            return best.encoding
    return latin_encoding(data[:SAMPLE])


def _samples(data: bytes) -> list[bytes]:
    """The beginning; half a character at its end would rule its encoding out, so several where that can't be told."""
    sample = data[:SAMPLE]
    if len(data) <= SAMPLE:
        return [sample]
    whole = sample.rstrip(_WITHIN_CHARACTERS)
    return [whole] if len(whole) > SAMPLE // 2 else [sample[: SAMPLE - cut] for cut in range(4)]


def _is_latin(text: str) -> bool:
    """Whether most letters beyond ASCII are Latin; their code points are below those of all other scripts.

    Others are not, but one by itself among Latin letters is one or two of those, misread.
    """
    letters = [character for character in text if character > "\x7f" and character.isalpha()]
    latin = sum(character < "\u0250" for character in letters) + len(_ALONE_IN_A_WORD.findall(text))
    return latin >= len(letters) / 2


def escaped_encoding(sample: bytes) -> str | None:
    """An encoding that is ASCII but for what stands between its escape sequences; None for others."""
    return next((encoding for escape, encoding in _ESCAPES if escape in sample), None)


def wide_encoding(sample: bytes) -> str | None:
    """UTF-16 or UTF-32, told by a mark or by where the NUL bytes are; None for other encodings."""
    for mark, encoding in _WIDE_MARKS:
        if sample.startswith(mark):
            return encoding
    if b"\0" not in sample or not sample.strip(b"\0"):
        return None
    quarters = [sample[i::4].count(0) / max(len(sample) // 4, 1) for i in range(4)]
    if min(quarters[2:]) > 0.9:
        return "utf-32-le"
    if min(quarters[:2]) > 0.9:
        return "utf-32-be"
    for codes in ((0,), _HIGH_BYTES):  # of Latin letters and figures first: the figure 0 is a high byte of kana
        even, odd = (
            sum(half.count(code) for code in codes) / max(len(half), 1) for half in (sample[::2], sample[1::2])
        )
        if max(even, odd) >= 0.6 and min(even, odd) <= 0.1:
            return "utf-16-le" if odd > even else "utf-16-be"
    return None
