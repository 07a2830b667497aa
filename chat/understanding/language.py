"""The visitor's language, small talk, and the product's own words in that language. No model is asked."""

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from chat.understanding.phrases import SMALL_TALK, TEXTS

if TYPE_CHECKING:
    from tenants.models import Client

# The order matters: kana before Han, because Japanese is written with both.
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")),
    ("ar", re.compile(r"[\u0600-\u06ff\u0750-\u077f]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
)
# Frequent words of questions; a word that two languages share counts for both and so decides nothing.
_WORDS = {
    "en": "the a an is are was do does did can could will would how what when where why which who my your i you we "
    "it of to in for and or not with have has from about on at if be this that there any long much many get need "
    "want please",
    "de": "der die das ein eine einen ist sind war wie was wann wo warum welche welcher wer mein meine ihr ihre ich "
    "sie wir es von zu für und oder nicht mit habe haben hat aus über auf im am bei wenn kann können gibt kein keine "
    "muss bitte wird den dem lange viel auch noch nach",
    "fr": "le la les un une des est sont comment quel quelle quels quelles quand où pourquoi qui mon ma mes votre "
    "vos je vous nous il elle de du pour et ou pas avec ai avez dans sur au aux si peut peux puis ce cette combien "
    "ne que est-ce quoi faut",
    "es": "el la los las un una es son está cómo qué cuál cuándo dónde quién mi mis su sus yo usted de del para y o "
    "no con tengo tiene en si puedo puede hay cuánto cuánta cuántos por que al se como cuanto donde cuando tienen "
    "quiero",
    "pt": "o a os as um uma é são está como qual quando onde quem meu minha seu sua eu você nós de do da dos das "
    "para e ou não com tenho tem em no na se posso pode há quanto quanta por que ao vocês são fazer quero",
    "it": "il lo la gli le un una è sono come cosa quale quando dove perché chi mio mia vostro io voi di del della "
    "per e o non con ho ha avete in se posso può c'è quanto quanti che si devo vorrei",
    "nl": "de het een is zijn was hoe wat wanneer waar waarom welke wie mijn uw jullie ik u wij van voor en of niet "
    "met heb heeft hebben in op aan als kan kunnen er geen moet graag hoeveel lang kost jij je naar bij",
    "pl": "jest są jak co kiedy gdzie dlaczego który kto mój moja ja pan pani nie z do na w czy mogę można ile i lub "
    "dla się mam",
    "tr": "bir ve mi mı mu mü ne nasıl nerede neden hangi kim benim için ile var yok bu kaç kadar olarak değil misiniz",
}
_VOCABULARY: dict[str, frozenset[str]] = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_LETTERS = {"de": "äöüß", "fr": "çèêœùûî", "es": "ñ¿¡", "pt": "ãõ", "pl": "ąćęłńśźż", "tr": "ğışİ"}
_MAY_FOLLOW = (  # a phrase of small talk
    "there|everyone|all|team|again|you|so much|very much|for your help|for the help|your help|and|guys|sir|madam|bot|"
    "und|alle|zusammen|et|à tous|y|e"
)
_WORD = re.compile(r"\b[^\W\d_]+(?:['’-][^\W\d_]+)*\b")  # "E02" is no Portuguese "e"


def language_of(text: str, default: str = "en") -> str:
    """The ISO 639-1 code of the language that `text` is most likely in; `default` when nothing tells."""
    for language, script in _SCRIPTS:
        if len(script.findall(text)) * 3 > sum(map(str.isalpha, text)):
            return language
    folded = text.casefold()
    words = _WORD.findall(folded)
    scores = {language: sum(word in known for word in words) * 1.0 for language, known in _VOCABULARY.items()}
    for language, letters in _LETTERS.items():
        scores[language] += 0.7 * sum(letter in folded for letter in letters)
    for language, kinds in _small_talk_words().items():
        scores[language] += 0.5 * sum(word in kinds for word in words)
    best = max(scores, key=lambda language: (scores[language], language == default))
    return best if scores[best] > 0 else default


def greeting(text: str) -> str | None:
    """The answer to a message that only greets, thanks or says goodbye, in its language; None for anything else."""
    words = _folded(text).split()
    if not words or len(words) > 8:
        return None
    phrases, fillers = _small_talk()
    kinds: list[tuple[str, str]] = []
    position = 0
    while position < len(words):
        for length in range(min(5, len(words) - position), 0, -1):
            phrase_here = " ".join(words[position : position + length])
            if phrase_here in phrases:
                kinds.append(phrases[phrase_here])
                break
            if phrase_here in fillers and kinds:
                break
        else:
            return None
        position += length
    kind, language = max(kinds, key=lambda each: ("hello", "thanks", "goodbye").index(each[0]))
    return phrase(kind, language)


def no_answer(language: str, client: "Client") -> str:
    """What a visitor is told when the documents hold no answer: the client's own text, else ours in `language`."""
    return client.no_answer_text.strip() or phrase("no_answer", language)


def phrase(kind: str, language: str) -> str:
    """One of the product's own texts (see chat/understanding/phrases.py) in `language`, else in English."""
    return TEXTS[kind].get(language) or TEXTS[kind]["en"]


def _folded(text: str) -> str:
    """Lower case, letters and spaces only: emoji and punctuation say nothing more than the words."""
    text = unicodedata.normalize("NFC", text).casefold().replace("'", "").replace("’", "")
    return " ".join("".join(c if c.isalpha() or unicodedata.category(c) == "Mn" else " " for c in text).split())


@cache
def _small_talk() -> tuple[dict[str, tuple[str, str]], frozenset[str]]:
    """phrase -> (kind, language); and what may follow one. A phrase of two languages is the first one's."""
    phrases: dict[str, tuple[str, str]] = {}
    for kind, languages in SMALL_TALK.items():
        for language, listed in languages.items():
            for each in listed.split("|"):
                phrases.setdefault(_folded(each), (kind, language))
    return phrases, frozenset(_MAY_FOLLOW.split("|"))


@cache
def _small_talk_words() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {language: set() for language in _VOCABULARY}
    for listed, (_, language) in _small_talk()[0].items():
        if language in found:
            found[language].update(listed.split())
    return {language: frozenset(words) for language, words in found.items()}
