"""Words of shops and help desks that mean the same, so that "send back" finds "return" without a model.

A concept is written "@return". Compounds stand for what their parts do ("Versandkosten": delivery and price), and
times of days for opening hours, which often say so in no word.
"""

import re
from functools import cache, lru_cache

from knowledge.words import folded, stem, words

_CONCEPTS = {
    "return": "return returns exchange back zurück rückgabe zurückgeben zurücksenden umtausch umtauschen widerruf "
    "retoure zurückschicken retournieren rücksendung retour retourner renvoyer échanger devolver devolución cambio "
    "devolução trocar "
    "restituire restituzione reso resi",
    "refund": "refund refunds reimburse money erstattung erstatten geld rembourser remboursement argent reembolso "
    "dinero dinheiro "
    "rimborso rimborsare",
    "ship": "ship shipping delivery deliver dispatch parcel courier arrive send versand versenden lieferung liefern "
    "lieferzeit paket livraison livrer expédition colis envío enviar entrega entregar envio "
    "schicken verschicken enviáis enviamos gastos entregan "
    "spedizione spedire spedite consegna pacco",
    "price": "price pricing cost costs fee charge charges rate preis kosten kostet gebühr prix coût coûte frais tarif "
    "precio coste cuesta tarifa preço custo custa taxa "
    "prezzo prezzi costo costano tariffa",
    "free": "free gratis complimentary kostenlos kostenfrei gratuit gratuite gratuito gratuita",
    "pay": "pay payment paypal invoice bezahlen zahlen zahlung rechnung payer paiement facture pagar pago factura "
    "pagamento fatura "
    "pagare pagamenti fattura",
    "open": "open opening hours closed geöffnet öffnung öffnungszeiten offen ouvert ouverture horaires fermé abierto "
    "horario cerrado aberto abre abren abrís abrimos abrir cierra cierran ferme fecha öffnet öffnen schließt "
    "apertura orari orario aperto aperta aperti aprite chiuso chiusa chiusi chiudete",
    "contact": "contact reach phone call email telephone support kontakt telefon anrufen erreichen contacter "
    "téléphone appeler joindre contacto contactar teléfono llamar contato telefone ligar "
    "contatto contattare chiamare chiamate",
    "cancel": "cancel cancellation terminate stornieren storno kündigen kündigung annuler annulation résilier "
    "cancelar cancelación anular cancelamento "
    "annullare annullamento cancellazione disdire disdetta",
    "warranty": "warranty guarantee garantie gewährleistung garantía garantia garanzia",
    "discount": "discount promo coupon voucher rabatt gutschein ermäßigung réduction remise descuento cupón desconto "
    "sconto sconti",
    "broken": "broken damaged defective faulty fault defect repair kaputt defekt beschädigt reparatur reparieren "
    "cassé défectueux endommagé réparer roto defectuoso dañado reparar quebrado",
    "size": "size sizes sizing fit fits measure größe größen passt maße taille pointure talla tallas tamaño tamanho "
    "taglia taglie misura",
    "child": "kids kid child children junior kinder kind enfant enfants niños niño crianças infantil "
    "bambini bambino bambina",
    "water": "waterproof water rain wet wasserdicht regen étanche pluie impermeable lluvia impermeável",
    "care": "wash clean cleaning care waschen reinigen pflege laver nettoyer entretien lavar limpiar limpieza cuidado "
    "lavare lavaggio pulire pulizia",
    "track": "track tracking status verfolgen sendungsverfolgung suivi suivre seguimiento rastrear rastreio",
    "account": "account login log password sign konto passwort anmelden compte connexion passe cuenta contraseña conta "
    "senha",
    "store": "store shop branch location address laden filiale geschäft adresse magasin boutique tienda dirección "
    "loja endereço "
    "negozio negozi indirizzo",
    "buy": "buy purchase order kaufen kauf bestellen bestellung acheter achat commander commande comprar compra "
    "pedido encomenda "
    "acquistare acquisto ordinare ordine",
    "abroad": "abroad international overseas worldwide foreign ausland international étranger extranjero "
    "internacional exterior "
    "estero internazionale",
    "america": "us usa amerika vereinigte eeuu",  # not America: its stem is that of American, as some cards are
    "europe": "eu europe european europa europäisch europäische europäischen ue européenne européen europea europeo "
    "europeia",
}


_VAGUE_WORDS = (
    "time times policy policies info information details terms conditions options zeit zeiten bedingungen infos "
    "informationen fristen regeln política condiciones información informations tempi "
    "number numbers nummer numéro número numero"
)
VAGUE = frozenset(_VAGUE_WORDS.split())
_PART = 5  # letters at least of a compound's part that is known by itself
DAY = (
    "(?:mon|tues|wednes|thurs|fri|satur|sun)days?|(?:mon|diens|donners|frei|sams|sonn)tags?|mittwochs?|"
    "(?:lune|marte|mercole|giove|vener)dì|sabato|domenica|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes|sábados?|domingos?"
)
_DAYS = re.compile(
    r"\b(?:(?:mon|tues?|wed|thu(?:rs?)?|fri|sat|sun|mo|di|mi|do|fr|sa|so)(?=\s?[-–.:/&,])|"
    rf"(?:{DAY}|weekdays?|werktags|daily|täglich)\b)[^\n]*\Z",
    re.I,
)
_HALF = r"(?:[ap]m|[ap]\.m\.?|uhr|h)"
_FROM_TO = re.compile(
    rf"\b\d{{1,2}}(?:[:.h]\d\d)?\s?{_HALF}?\s?(?:-|–|to|until|till|bis|a|à)\s?\d{{1,2}}(?:[:.h]\d\d|\s?{_HALF})", re.I
)
_DAY_WITHIN = 50  # characters before the hours
_DIGIT = re.compile(r"\d")
ADDRESS = re.compile(
    r"\b\d{1,5}[a-z]?,? (?:[A-Z][\w'-]+ ){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Square|Way|Drive|Place|Quay)\b|"
    r"\b[A-ZÄÖÜ]\w{2,}(?:straße|strasse|str\.|weg|platz|gasse|allee|ufer) \d|"
    r"\b[A-ZÄÖÜ]\w+[ -](?:Straße|Str\.|Platz|Weg|Allee) \d|"
    r"\b(?:[Cc]alle|[Aa]venida|[Pp]laza|[Pp]aseo|[Vv]ia|[Pp]iazza|[Rr]ua) [A-ZÁÉÍÓÚ][^.;\n]{2,40}\d|"
    r"\b\d{1,4},? (?:rue|avenue|boulevard) |\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b|\b\d{5} [A-ZÄÖÜ][a-zäöüß]+\b"
)


def concept_of(stem: str) -> str | None:
    """The concept that a stemmed word stands for."""
    return _by_stem().get(stem)


def concepts_in(text: str) -> frozenset[str]:
    """The concepts that `text` is about: in its words, or in hours of days and addresses."""
    found = {concept for word in set(words(text)) for concept in concepts_of_word(word)}
    if _DIGIT.search(text):
        found |= {"@open"} if _gives_hours(text) else set()
        found |= {"@store"} if ADDRESS.search(text) else set()
    return frozenset(found)


def _gives_hours(text: str) -> bool:
    """Is there a day shortly before something like "9 am to 6 pm"?"""
    hours = (match.start() for match in _FROM_TO.finditer(text))
    return any(_DAYS.search(text[max(0, start - _DAY_WITHIN) : start]) for start in hours)


def only_concepts(question: str) -> bool:
    """Do all words of `question` stand for concepts, as in "What are your opening hours?" and "Return policy"?"""
    telling = [word for word in words(question) if word not in VAGUE]
    return bool(telling) and all(map(concepts_of_word, telling))


@lru_cache(maxsize=50_000)
def concepts_of_word(word: str) -> tuple[str, ...]:
    """Those of a word in lower case, or of the parts of a compound."""
    plain, known = folded(word), _by_word()
    if plain not in known and len(plain) >= _PART + 3 and plain.isalpha():
        starts = (plain[:length] for length in range(len(plain) - 3, _PART - 1, -1))
        ends = (plain[at:] for at in range(3, len(plain) - _PART + 1))
        parts = [next((known[part] for part in either if part in known), None) for either in (starts, ends)]
        if any(parts):
            return tuple(dict.fromkeys(part for part in parts if part))
    whole = _by_stem().get(stem(word))
    return (whole,) if whole else ()


@cache
def _by_stem() -> dict[str, str]:
    return {stem(word): f"@{name}" for name, listed in _CONCEPTS.items() for word in listed.split()}


@cache
def concept_words() -> frozenset[str]:
    """Every word that stands for a concept, without accents."""
    return frozenset(folded(word) for listed in _CONCEPTS.values() for word in listed.split())


@cache
def _by_word() -> dict[str, str]:
    listed = ((folded(word), f"@{name}") for name, listed in _CONCEPTS.items() for word in listed.split())
    return {word: name for word, name in listed if len(word) >= _PART}
