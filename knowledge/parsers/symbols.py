"""Characters of the symbol fonts that Word comes with, which have no code of their own outside those fonts."""

import re

_LATIN = "ABCDEFGHIKLMNOPQRSTUWXYZabcdefghiklmnopqrstuwxyz"
_GREEK = "ΑΒΧΔΕΦΓΗΙΚΛΜΝΟΠΘΡΣΤΥΩΞΨΖαβχδεφγηικλμνοπθρστυωξψζ"
_SYMBOL = dict(zip(map(ord, _LATIN), _GREEK, strict=True)) | {
    0x2D: "−",
    0xA2: "′",
    0xA3: "≤",
    0xA5: "∞",
    0xAC: "←",
    0xAE: "→",
    0xB0: "°",
    0xB1: "±",
    0xB2: "″",
    0xB3: "≥",
    0xB4: "×",
    0xB7: "•",
    0xB8: "÷",
    0xB9: "≠",
    0xBB: "≈",
    0xD2: "®",
    0xD3: "©",
    0xD4: "™",
    0xD6: "√",
    0xE5: "∑",
}
_WINGDINGS = {
    0x28: "☎",
    0x2A: "✉",
    0x6C: "•",
    0x6E: "■",
    0x6F: "☐",
    0x71: "☐",
    0x76: "❖",
    0xA7: "▪",
    0xA8: "☐",
    0xD8: "➢",
    0xDF: "←",
    0xE0: "→",
    0xE8: "→",
    0xF0: "→",
    0xFB: "✗",
    0xFC: "✓",
    0xFD: "☒",
    0xFE: "☑",
}
_WINGDINGS_2 = {0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0xA3: "☐", 0x97: "•"}
_FONTS = {"symbol": _SYMBOL, "wingdings": _WINGDINGS, "wingdings 2": _WINGDINGS_2}
_PLACE = 0xF000  # where files have these fonts' characters in Unicode
_ANY = re.compile("[\uf020-\uf0ff]")
# Where the font is not known: those of which only one font has a usual character.
_USUAL = {_PLACE + code: text for code, text in (_SYMBOL | _WINGDINGS).items() if code > 0x7F}


def symbol(font: str, code: int) -> str:
    """The character of a font, "" for a mere decoration."""
    known = _FONTS.get(font.lower(), {}).get(code & 0xFF)
    if known:
        return known
    private = 0xE000 <= code <= 0xF8FF or code < 0x20 or 0xD800 <= code <= 0xDFFF or code > 0xFFFF
    return "" if private or font.lower() in _FONTS else chr(code)


def readable(text: str, font: str = "") -> str:
    """The text with the characters of symbol fonts as all fonts have them; of the same length."""
    if not _ANY.search(text):
        return text
    return _ANY.sub(lambda match: _readable(match[0], font), text)


def _readable(character: str, font: str) -> str:
    code = ord(character)
    own = _FONTS.get(font.lower(), {}).get(code & 0xFF)
    return own or _USUAL.get(code, character)
