"""Which 8-bit encoding a text in Latin letters has, by whose alphabet its letters make sense in.

charset-normalizer tells scripts apart well, but takes "été" in Windows-1252 for Windows-1250 as readily as not.
"""

import re
import unicodedata
from collections import Counter

# The letters beyond a to z of each language.
ALPHABETS = tuple(
    map(
        set,
        (
            "äöüß",  # German
            "éèêëàâæçîïôœùûüÿ",  # French
            "áéíóúüñ",  # Spanish
            "áâãàçéêíóôõúü",  # Portuguese
            "àèéìíòóùú",  # Italian
            "àèéíïòóúüç",  # Catalan
            "åäöé",  # Swedish, Finnish
            "æøåéö",  # Danish, Norwegian
            "áðéíóúýþæö",  # Icelandic
            "äëéèêïöüóá",  # Dutch
            "ąćęłńóśźż",  # Polish
            "áčďéěíňóřšťúůýž",  # Czech
            "áäčďéíĺľňóôŕšťúýž",  # Slovak
            "áéíóöőúüű",  # Hungarian
            "čćđšž",  # Croatian, Slovene
            "ăâîşţșț",  # Romanian
            "çğıöşüâîi̇",  # Turkish
            "äõöüšž",  # Estonian
            "āčēģīķļņšūž",  # Latvian
            "ąčęėįšųūž",  # Lithuanian
            "àèìòùċġħż",  # Maltese
            "ĉĝĥĵŝŭ",  # Esperanto
            "àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ",  # Vietnamese
        ),
    )
)
# In the order in which a tie is decided.
ENCODINGS = (
    *("cp1252", "cp1250", "iso-8859-2", "cp1254", "cp1257", "iso-8859-15", "iso-8859-16", "mac-roman", "cp850"),
    *("iso-8859-3", "cp1258"),
)
PUNCTUATION = set("“”„‚‘’–—…«»°€£§©®™·•¿¡\xa0´×½")
_CAPITALS = "".join(letter for letter in map(chr, range(0xC0, 0x250)) if letter.isupper())
_MISPLACED = re.compile(f"[a-zß-ÿ][{_CAPITALS}]|[^\\W\\d_][«»°€£§©®™•¿¡¾¼½¹²³][^\\W\\d_]")
_BEYOND_ASCII = re.compile("[^\0-\x7f]")


def latin_encoding(sample: bytes) -> str:
    """The encoding of the list in which the sample reads best."""
    return max(ENCODINGS, key=lambda encoding: _plausibility(sample, encoding))


def _plausibility(sample: bytes, encoding: str) -> float:
    """The share of the letters beyond ASCII that one language explains, less those that stand where none would."""
    try:
        text = unicodedata.normalize("NFC", sample.decode(encoding))  # cp1258 has accents of their own
    except UnicodeDecodeError:
        return float("-inf")
    counts = Counter(_BEYOND_ASCII.findall(text))
    total = counts.total() or 1
    letters = Counter(character for each, count in counts.items() for character in each.lower() * count)
    punctuation = sum(counts[character] for character in PUNCTUATION)
    explained = max(sum(letters[letter] for letter in alphabet) for alphabet in ALPHABETS)
    return (explained + punctuation - 2 * len(_MISPLACED.findall(text))) / total
