"""What kind of thing a question asks for (a duration, a price, ...), and how a sentence looks that names one."""

import re
from dataclasses import dataclass

from chat.understanding.dependence import points_back
from chat.understanding.language import greeting
from chat.writing.sentences import sentences
from knowledge.concepts import ADDRESS, DAY
from knowledge.words import stems


@dataclass(frozen=True)
class Kind:
    """`bonus` is added to the score of a sentence that names such a thing; one that doesn't is multiplied by `miss`.
    `says` is the concept that it stands for without naming it ("9:00 to 17:00" are opening hours)."""

    asked: re.Pattern[str]
    answer: re.Pattern[str]
    bonus: float
    miss: float
    says: str = ""


def kinds_of(question: str) -> list[Kind]:
    return [kind for kind in _KINDS if kind.asked.search(question)]


def besides_kinds(question: str) -> str:
    """What is left of `question` without the words that say what kind of thing is asked for."""
    for kind in kinds_of(question):
        question = kind.asked.sub(" ", question)
    return question


def _any(*phrases: str, starts: bool = False) -> re.Pattern[str]:
    """Any of the phrases (separated by |) as whole words, or as beginnings of words."""
    return re.compile(rf"\b(?:{'|'.join(phrases)})" + ("" if starts else r"\b"), re.I)


_UNIT = (
    "seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|(?:business|working) days?|weeks?|months?|years?|"
    "sekunden?|minuten?|stunden?|std|(?:werk|arbeits)?tagen?|(?:werk|arbeits)?tage?|wochen?|monaten?|monate?|jahren?|jahre?|"
    "secondes?|heures?|jours?|semaines?|mois|ans?|segundos?|horas?|días?|dias?|semanas?|meses|mes|años?|anos?|"
    "secondi|minut[oi]|or[ae]|giorn[oi]|settiman[ae]|mes[ei]|ann[oi]"
)
_NUMBER = (
    r"\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fourteen|fifteen|twenty|thirty|sixty|ninety|"
    "zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|vierzehn|zwanzig|dreißig|"
    "deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|quinze|vingt|trente|"
    "dos|tres|cuatro|cinco|siete|ocho|nueve|diez|once|doce|quince|veinte|treinta|"
    "due|tre|quattro|cinque|sei|sette|otto|nove|dieci|undici|dodici|venti|trenta"
)
_IN_WORDS = (  # times of day
    r"\b(?:half past|quarter (?:past|to)|o['’]clock|noon|midnight|around the clock|24 hours|halb \w+|mittags?|"
    r"mitternacht|rund um die uhr|midi|minuit|mediodía|medianoche)\b"
)
_MONTH = "january|february|march|april|june|july|august|september|october|november|december|januar|februar|märz|oktober"
CALENDAR = re.compile(f"{DAY}|{_MONTH}", re.I)

# A table's row: "name: Wax; price: 9.50; ...", "| Wax | 9.50 |".
RECORD = re.compile(r"\||\W*\w[^:;.!?]{0,40}: [^;]*; ")

_DURATION = Kind(
    _any(
        "how (?:long|soon|fast|quick) (?:does|will|would|do|did) (?:it|this|that|they) take",
        "how (?:long|soon|fast|quick)|how many (?:hours|days|weeks|months|years)|deadline",
        "(?:delivery|shipping|dispatch|repair|processing|return|notice|trial) (?:times?|period)|\\w*duration",
        "wie (?:lange?|schnell)|dauern|dauert|wie ?viele (?:tage|wochen)|\\w*frist(?:en)?",
        "(?:liefer|versand|bearbeitungs)\\w*zeit(?:en)?",
        "\\w*dauer|combien de (?:temps|jours)|délais?",
        "quanto (?:tempo|dura)|durata|cu[aá]nto (?:tiempo|tarda)|cu[aá]ntos d[ií]as|plazos?|prazo",
    ),
    re.compile(
        rf"\b(?:{_NUMBER})[\s-]*(?:[a-z]+[\s-])?(?:{_UNIT})\b|\d\s?(?:[cmk]?m|met(?:re|er)s?|feet|ft|inch(?:es)?)\b|"
        r"\d\s*(?:日|週|か?月|年|時間|天|周|个月)|"
        r"\b(?:next|same) (?:working |business )?day\b|\b(?:am )?(?:nächsten|selben) (?:werk)?tag\b|"
        r"\b(?:le )?(?:lendemain|jour même)\b|\b(?:al )?(?:día siguiente|dia seguinte)\b",
        re.I,
    ),
    bonus=0.15,
    miss=0.75,
)
_PRICE_ASKED = _any(
    "how much (?:is|are|does|do|for|will)|costs?|prices?|fees?|expensive",
    "koste[tn]?|preise?|gebühr(?:en)?|was kostet|coûte|combien coûte|prix|cuesta|precios?|custa|preços?",
    "quanto (?:costa(?:no)?|viene|vengono)|costo|prezz[oi]|tariff[ae]",
)
_SUM = (
    r"[€$£¥]\s*\d|\d\s*(?:[€$£¥%円元]|euros?\b|eur\b|usd\b|gbp\b|dollars?\b|pounds?\b|cents?\b|chf\b|franken\b)|"
    r"\b(?:price|cost|charge|fee|preis|prix|precio|preço|prezzo)\b[^:;]{0,20}:\s*\d|\b[mb]illion\b"
)
_PRICE = Kind(
    _PRICE_ASKED,
    re.compile(rf"{_SUM}|\b(?:free|kostenlos|kostenfrei|gratis|gratuit(?:e?s?|[ao]s?|i))\b", re.I),
    bonus=0.15,
    miss=0.40,
)
# "Free" is an answer, a sum a better one.
_FIGURE = Kind(_PRICE_ASKED, re.compile(_SUM, re.I), bonus=0.0, miss=0.85, says="@price")
_TIME = Kind(
    _any(
        "what time|opening hours|business hours|when|wann|öffnungszeiten|geöffnet",
        "quand|horaires|quelle heure|a qué hora|cuándo|horario|a che ora|quando|orari",
    ),
    re.compile(
        rf"\b\d{{1,2}}(?::\d\d|\s*(?:am|pm|a\.m|p\.m|uhr)\b)|\b(?:{DAY}|{_MONTH})\b|\b1\d\d\d\b|\b20\d\d\b|"
        rf"\b(?:{_NUMBER})[\s-]*(?:[a-z]+[\s-])?(?:{_UNIT})\b|{_IN_WORDS}",
        re.I,
    ),
    bonus=0.08,
    miss=0.85,
)
_OPENING = Kind(
    _any(
        "(?:opening|business|office|support|service|working|store|shop|visiting) (?:hours|times)|hours",
        "(?:are|is) .{0,40}\\b(?:open|available|reachable|staffed)|open|when do .{0,40}\\b(?:open|close)",
        "\\w*öffnungszeit(?:en)?|\\w*sprechzeit(?:en)?|geöffnet|auf|offen|horaires|ouverte?s?",
        "horarios?|abiert[ao]s?|abert[ao]s?|orari|apert[aio]|aprite|chiudete",
    ),
    re.compile(
        rf"\b(?:{DAY})\b|\b24/7\b|\b[dn]?alle (?:ore )?\d|{_IN_WORDS}|"
        r"(?:[-–]|\b(?:from|to|at|until|till|von|ab|um|bis|de|desde|a|hasta|à|de|du))\s?\d{1,2}"
        r"(?::\d\d|\s?(?:am|pm|a\.m|p\.m|uhr|h)\b)",
        re.I,
    ),
    bonus=0.20,
    miss=0.60,
    says="@open",
)
_MANNER = Kind(
    _any(
        "how (?:do|can|should|would|must) (?:i|we|you)|how to|what must i do|wie (?:kann|muss|soll|mache) (?:ich|man)",
        "comment (?:puis-je|faire|dois-je|peut-on)|cómo (?:puedo|debo|se)|com[eo] (?:posso|devo)",
    ),
    re.compile(rf"^(?!{RECORD.pattern})"),  # which tells nobody what to do
    bonus=0.0,
    miss=0.75,
)
_AMOUNT = Kind(
    _any(
        "how (?:many|big|large|old|far|tall|heavy|high|deep)|wie ?viele?|wie (?:groß|alt|weit|hoch|schwer)",
        "cuánt[ao]s|quant[ao]s|quant[ei]",
    ),
    re.compile(rf"\d|\b(?:{_NUMBER}|eight|nine|eleven|hundred|thousand|million|no limit|unlimited)\b", re.I),
    bonus=0.08,
    miss=0.75,
)
_TEMPERATURE = Kind(
    _any("temperatur\\w*|temperatura|température|how (?:hot|warm|cold)|wie (?:heiß|warm|kalt)"),
    re.compile(r"\d\s?(?:°|℃|℉|(?:degrees?|grad|grados|degrés|graus|celsius|fahrenheit)\b)", re.I),
    bonus=0.15,
    miss=0.75,
)
_CONTACT = Kind(
    _any(
        "^\\W*(?:e-?mail|(?:tele)?phone|telefon)\\W*$|(?:tele)?phone number|e-?mail address|by (?:tele)?phone",
        "(?:your|an?|the|support|service) (?:e-?mail|(?:tele)?phone)|contact|call you|reach you|kontakt|erreich",
        "(?:telefon|e-?mail|mail-?)[ -]?(?:nummer|adresse)|teléfono|téléphone|telefone|correo",
        starts=True,
    ),
    re.compile(r"\S+@\S+\.\w+|\+?\d[\d ()/-]{6,}\d|https?://|www\.", re.I),
    bonus=0.20,
    miss=0.70,
)
_PHONE = Kind(
    _any(
        "^\\W*(?:tele)?(?:phone|fon)\\W*$|(?:tele)?phone numbers?|(?:by|your) (?:tele)?phone|call you|telefonnummer",
        "(?:número de )?teléfono|numéro de téléphone|número de telefone",
    ),
    re.compile(r"\+?\d[\d ()/-]{6,}\d"),
    bonus=0.15,
    miss=0.80,
)
_WHERE = Kind(
    _any(
        "where (?:is|are) (?:you|your|the)|address|located|how do i (?:find|get to) you|adresse|anschrift|standort",
        "wo (?:ist|sind|liegt|finde|befindet)|où (?:est|se trouve|êtes)|dónde est[áa]n?|dirección|onde (?:fica|estão)",
        "dov['’]è|dove (?:si trova|siete)|indirizzo",
    ),
    ADDRESS,
    bonus=0.20,
    miss=0.75,
    says="@store",
)
_MEANS = Kind(
    _any(
        "payment (?:methods?|options?|means)|(?:ways?|how) (?:to|can i|do i|may i) pay",
        "zahlungs(?:arten?|methoden?|möglichkeit(?:en)?|mittel|weisen?)|wie (?:kann|soll) ich (?:be)?zahlen",
        "moyens? de paiement|comment payer|formas? de pago|métodos? de pago|cómo (?:puedo )?pagar|formas? de pagamento",
    ),
    re.compile(
        r"\b(?:paypal|visa|master-?card|amex|american express|klarna|apple pay|google pay|sepa|bizum|twint|ideal|cash|"
        r"credit cards?|debit cards?|kreditkarten?|lastschrift|vorkasse|überweisung|bank transfer|"
        r"tarjetas? de crédito|transferencia|carte (?:bancaire|de crédit)|virement|cartão)\b",
        re.I,
    ),
    bonus=0.15,
    miss=0.80,
    says="@pay",
)
_KINDS = (_DURATION, _PRICE, _FIGURE, _TIME, _OPENING, _MANNER, _AMOUNT, _TEMPERATURE, _CONTACT, _PHONE, _WHERE, _MEANS)
_ASKS = (
    r"(?:how|what|when|where|which|who|why|do|does|is|are|can|could|may|will|wie|was|wann|wo|welche[rsnm]?|wer|warum|"
    r"kann|gibt|habt|haben|ist|sind|comment|quand|où|combien|est-ce|cu[aá]nt[ao]s?|c[oó]mo|qué|cu[aá]ndo|d[oó]nde|hay|"
    r"puedo|como|quanto|quando|onde)\b"
)
_ANOTHER = re.compile(rf",?\s+(?:and|und|et|y|e)\s+(?={_ASKS})", re.I)
_AFRESH = re.compile(rf"^\W*(?:also|and|und|außerdem|et|y|además)\W+(?={_ASKS})", re.I)
_WHETHER_THERE_IS = _any(
    "^(?:do|does) (?:you|they|your \\w+) (?:also |still )?(?:sell|have|stock|offer|carry|make|provide|accept)",
    "^(?:is|are) there|^(?:habt ihr|haben sie|verkauft ihr|verkaufen sie|gibt es)|^(?:avez-vous|vendez-vous|y a-t-il)",
    "^¿?(?:tienen|tenéis|venden|hay)|^(?:têm|vendem)",
)


def asked_to_exist(question: str) -> str:
    """ "skis?" of "Do you sell skis?": what does not speak of skis does not answer. Nothing of any other question."""
    found = _WHETHER_THERE_IS.search(question.strip())
    return question.strip()[found.end() :] if found else ""


def separate_questions(message: str) -> list[str]:
    """The questions of a message that holds several, each complete in itself, without a greeting; else the message.
    "When is it served?" of "How much is breakfast and when is it served?" comes with what it hangs on."""
    sentence_ends = [message[start:end] for start, end in sentences(message)]
    asked = [_AFRESH.sub("", sentence) for sentence in sentence_ends if stems(sentence) and not greeting(sentence)]
    if not asked or any(map(points_back, asked[1:])):
        return [message]
    parts = []
    for sentence in asked:
        first, *others = [part for part in _ANOTHER.split(sentence) if stems(part)]
        parts += [first, *(f"{first}? {other}" if points_back(other) else other for other in others)]
    return parts
