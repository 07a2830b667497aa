"""Words as they are compared: folded, stemmed, without the ones that every sentence has."""

import re
import unicodedata
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_HYPHENED = re.compile(r"[^\W_]+(?:-[^\W_]+)+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")

_STOPWORDS = (
    # English
    "something anything someone anybody thing things "
    "a an the and or but if of to in on at by for from with about into over after before as is are was were be "
    "been being am do does did have has had can could will would shall should may might must not no nor so than "
    "too very just i me my we us our you your he him his she her it its they them their this that these those "
    "there here what which who whom whose when where why how all any both each few more most other some such "
    "only own same then once also please tell s t don ll re ve d m get got need want know much many long "
    # German
    "der die das den dem des ein eine einen einem einer eines und oder aber wenn von zu in im an am bei für mit "
    "über nach vor als ist sind war waren sein bin hat haben hatte kann können könnte wird werden soll muss darf "
    "nicht kein keine so auch ich mich mir mein meine meinen wir uns unser du dich dein sie ihr ihre er es man "
    "sich dieser diese dieses was welche welcher welches wer wie wo wann warum wieso gibt bitte lange viel viele "
    "zum zur auf aus um noch nur habt hast bekomme bekommen etwas jemand "
    # French
    "le la les un une des du de et ou mais si dans sur par pour avec sans est sont été être ai as a avons avez "
    "ont peut peux puis pouvez ne pas plus je me moi mon ma mes nous notre nos vous votre vos il elle ils elles "
    "on se ce cet cette ces que qui quoi quel quelle quels quelles quand où comment pourquoi combien au aux en y "
    "l d j c n qu est-ce "
    # Spanish, Portuguese
    "el los las una unos unas y o pero del al con sin por para es son era ser estar está estoy tengo tiene "
    "tienen hay puedo puede pueden no yo mi mis nosotros tu tus su sus usted ustedes lo se este esta estos estas "
    "que qué cuál cuáles quién cuándo dónde cómo cuánto cuánta cuántos os um uma do da dos das em no na nos nas "
    "com meu minha seu sua posso pode qual quais quem quando onde como quanto são foi tem algo alguien "
    "cuanto cuanta cuantos cuantas como donde cual cuales quien esta estan "
    # Italian
    "il lo gli uno di da della dello dei delle degli è sono non mio mia vostro vostra voi noi che chi cosa quale quali "
    "quanto quanta quanti quante dove perché posso può possiamo si ci siamo siete avete ho nel nella alle dalle ora "
)
_NAME = re.compile(r"\b(?:US|IT)\b")  # which are other words in lower case
STOPWORDS = frozenset(_STOPWORDS.split())


def words(text: str) -> list[str]:
    """The words of `text` in lower case, without those that every sentence has; "US" is none of these."""
    found = [word for word in _WORD.findall(text.casefold()) if word not in STOPWORDS]
    found += [word.casefold() for word in joined(text)]
    if _NAME.search(text) and not text.isupper():
        found += map(str.casefold, _NAME.findall(text))
    return found


def joined(text: str) -> list[str]:
    """The words that are written with hyphens, without them: "checkout" for "check-out", "WM8120" for "WM-8120"."""
    if "-" not in text:
        return []
    hyphened = " ".join(part for part in text.split() if "-" in part)
    return [word.replace("-", "") for word in _HYPHENED.findall(hyphened)]


def stems(text: str) -> list[str]:
    """The content words of `text`, stemmed, in order; runs of Chinese, Japanese and Korean as pairs of characters."""
    found = []
    for word in words(text):
        if _CJK.search(word):
            found.extend(_pairs(word))
        else:
            found.append(stem(word))
    return found


@lru_cache(maxsize=2_000)  # sentences of the same passages are compared with answer after answer
def stemmed(text: str) -> frozenset[str]:
    return frozenset(stems(text))


def _pairs(word: str) -> list[str]:
    return [word[i : i + 2] for i in range(len(word) - 1)] or [word]


_ENDINGS = (("able", 7), ("ing", 6), ("ed", 5), ("en", 5), ("er", 6), ("e", 4), ("n", 5))  # each with the least letters


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A crude stem that serves several languages: accents and common endings off, the rest cut to seven letters."""
    word = folded(word)
    if len(word) <= 3 or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) >= 5:
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith("ss") and len(word) >= 4:
        word = word[:-1]  # and then the ending before it: "bookings" is "book"
    for ending, least in _ENDINGS:  # one may stand before another: "Termine" is "Termin" is "Termi"
        if word.endswith(ending) and len(word) >= least:
            word = word[: -len(ending)]
    word = word[:7]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeious":
        word = word[:-1]  # shipp(ing) -> ship
    return word


def folded(word: str) -> str:
    """Without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
