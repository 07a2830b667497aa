"""Bytes to text, whatever the encoding."""

import codecs

from charset_normalizer import from_bytes

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
SAMPLE = 65536


def decode(data: bytes) -> str:
    """The text of `data`; never fails: bytes that no encoding explains become U+FFFD."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if wide := _wide(data[:SAMPLE]):
        return data.decode(wide, "replace")
    data = data.replace(b"\0", b"")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    best = from_bytes(data[:SAMPLE]).best()
    return data.decode(best.encoding if best else "cp1252", "replace")


def _wide(sample: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, told by where the NUL bytes are."""
    quarters = [sample[i::4].count(0) / max(len(sample) // 4, 1) for i in range(4)]
    if sum(quarters) < 0.4:
        return None
    if min(quarters[2:]) > 0.9:
        return "utf-32-le"
    if min(quarters[:2]) > 0.9:
        return "utf-32-be"
    odd, even = quarters[1] + quarters[3], quarters[0] + quarters[2]
    if max(odd, even) < 10 * min(odd, even):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"
