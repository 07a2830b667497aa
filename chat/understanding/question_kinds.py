"""What kind of thing a question asks for (a duration, a price, ...), and how a sentence looks that names one."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`bonus` is added to the score of a sentence that names such a thing; one that doesn't is multiplied by `miss`."""

    asked: re.Pattern[str]
    answer: re.Pattern[str]
    bonus: float
    miss: float


def kinds_of(question: str) -> list[Kind]:
    return [kind for kind in _KINDS if kind.asked.search(question)]


def _any(*phrases: str, starts: bool = False) -> re.Pattern[str]:
    """Any of the phrases (separated by |) as whole words, or as beginnings of words."""
    return re.compile(rf"\b(?:{'|'.join(phrases)})" + ("" if starts else r"\b"), re.I)


_UNIT = (
    "minutes?|hours?|days?|(?:business|working) days?|weeks?|months?|years?|"
    "minuten?|stunden?|(?:werk|arbeits)?tagen?|(?:werk|arbeits)?tage?|wochen?|monaten?|monate?|jahren?|jahre?|"
    "heures?|jours?|semaines?|mois|ans?|horas?|días?|dias?|semanas?|meses|mes|años?|anos?"
)
_NUMBER = (
    r"\d+|one|two|three|four|five|six|seven|ten|twelve|fourteen|thirty|sixty|ninety|"
    "zwei|drei|vier|fünf|sechs|sieben|zehn|vierzehn|dreißig|deux|trois|quatre|cinq|sept|dix|quinze|trente|"
    "dos|tres|cuatro|cinco|siete|diez|quince|treinta"
)
_DAY = (
    "(?:mon|tues|wednes|thurs|fri|satur|sun)days?|(?:mon|diens|donners|frei|sams|sonn)tags?|mittwochs?|"
    "lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes|sábado|domingo"
)
_MONTH = "january|february|march|april|june|july|august|september|october|november|december|januar|februar|märz|oktober"

_DURATION = Kind(
    _any(
        "how (?:long|soon|fast|quick)|how many (?:hours|days|weeks|months|years)|deadline",
        "wie (?:lange?|schnell)|wie ?viele (?:tage|wochen)|frist|combien de (?:temps|jours)|délai",
        "cuánto (?:tiempo|tarda)|cuántos días|plazo|quanto tempo|prazo",
    ),
    re.compile(rf"\b(?:{_NUMBER})[\s-]*(?:[a-z]+[\s-])?(?:{_UNIT})\b|\d\s*(?:日|週|か?月|年|時間|天|周|个月)", re.I),
    bonus=0.15,
    miss=0.75,
)
_PRICE = Kind(
    _any(
        "how much (?:is|are|does|do|for|will)|costs?|prices?|fees?|expensive",
        "koste[tn]?|preise?|gebühr(?:en)?|was kostet|coûte|combien coûte|prix|cuesta|precios?|custa|preços?",
    ),
    re.compile(
        r"[€$£¥]\s*\d|\d\s*(?:[€$£¥%円元]|euros?\b|eur\b|usd\b|dollars?\b|pounds?\b|cents?\b|chf\b|franken\b)|"
        r"\b(?:free|kostenlos|kostenfrei|gratis|gratuit(?:e?s?|[ao]s?)|million|billion)\b",
        re.I,
    ),
    bonus=0.15,
    miss=0.40,
)
_TIME = Kind(
    _any(
        "what time|opening hours|business hours|when|wann|öffnungszeiten|geöffnet",
        "quand|horaires|quelle heure|cuándo|horario",
    ),
    re.compile(
        rf"\b\d{{1,2}}(?::\d\d|\s*(?:am|pm|a\.m|p\.m|uhr)\b)|\b(?:{_DAY}|{_MONTH})\b|\b1\d\d\d\b|\b20\d\d\b|"
        rf"\b(?:{_NUMBER})[\s-]*(?:[a-z]+[\s-])?(?:{_UNIT})\b",
        re.I,
    ),
    bonus=0.08,
    miss=0.85,
)
_AMOUNT = Kind(
    _any(
        "how (?:many|big|large|old|far|tall|heavy|high|deep)|wie ?viele?|wie (?:groß|alt|weit|hoch|schwer)",
        "cuánt[ao]s|quant[ao]s",
    ),
    re.compile(rf"\d|\b(?:{_NUMBER}|eight|nine|eleven|hundred|thousand|million|no limit|unlimited)\b", re.I),
    bonus=0.08,
    miss=0.75,
)
_CONTACT = Kind(
    _any(
        "e-?mail|(?:tele)?phone|telefon|contact|call you|reach you|kontakt|erreich|teléfono|téléphone|telefone",
        starts=True,
    ),
    re.compile(r"\S+@\S+\.\w+|\+?\d[\d ()/-]{6,}\d|https?://|www\.", re.I),
    bonus=0.20,
    miss=0.70,
)
_KINDS = (_DURATION, _PRICE, _TIME, _AMOUNT, _CONTACT)
