"""Words of shops and help desks that mean the same, so that "send back" finds "return" without a model."""

from collections.abc import Iterable
from functools import cache

from chat.understanding.words import stems

_CONCEPTS = {
    "return": "return returns exchange back rückgabe zurückgeben zurücksenden umtausch umtauschen widerruf retoure "
    "retour retourner renvoyer échanger devolver devolución cambio devolução trocar",
    "refund": "refund refunds reimburse money erstattung erstatten geld rembourser remboursement argent reembolso "
    "dinero dinheiro",
    "ship": "ship shipping delivery deliver dispatch parcel courier arrive send versand versenden lieferung liefern "
    "lieferzeit paket livraison livrer expédition colis envío enviar entrega entregar envio",
    "price": "price cost costs fee charge charges rate preis kosten kostet gebühr prix coût coûte frais tarif precio "
    "coste cuesta tarifa preço custo custa taxa",
    "free": "free gratis complimentary kostenlos kostenfrei gratuit gratuite gratuito",
    "pay": "pay payment paypal invoice bezahlen zahlen zahlung rechnung payer paiement facture pagar pago factura "
    "pagamento fatura",
    "open": "open opening hours closed geöffnet öffnungszeiten offen ouvert ouverture horaires fermé abierto horario "
    "cerrado aberto",
    "contact": "contact reach phone call email telephone support kontakt telefon anrufen erreichen contacter "
    "téléphone appeler joindre contacto contactar teléfono llamar contato telefone ligar",
    "cancel": "cancel cancellation terminate stornieren storno kündigen kündigung annuler annulation résilier "
    "cancelar cancelación anular cancelamento",
    "warranty": "warranty guarantee garantie gewährleistung garantía garantia",
    "discount": "discount promo coupon voucher rabatt gutschein ermäßigung réduction remise descuento cupón desconto",
    "broken": "broken damaged defective faulty fault defect repair kaputt defekt beschädigt reparatur reparieren "
    "cassé défectueux endommagé réparer roto defectuoso dañado reparar quebrado",
    "size": "size sizes sizing fit fits measure größe größen passt maße taille pointure talla tallas tamaño tamanho",
    "child": "kids kid child children junior kinder kind enfant enfants niños niño crianças infantil",
    "water": "waterproof water rain wet wasserdicht regen étanche pluie impermeable lluvia impermeável",
    "care": "wash clean cleaning care waschen reinigen pflege laver nettoyer entretien lavar limpiar limpieza cuidado",
    "track": "track tracking status verfolgen sendungsverfolgung suivi suivre seguimiento rastrear rastreio",
    "account": "account login password sign konto passwort anmelden compte connexion passe cuenta contraseña conta "
    "senha",
    "store": "store shop branch location address laden filiale geschäft adresse magasin boutique tienda dirección "
    "loja endereço",
    "buy": "buy purchase order kaufen kauf bestellen bestellung acheter achat commander commande comprar compra "
    "pedido encomenda",
    "abroad": "abroad international overseas worldwide foreign ausland international étranger extranjero "
    "internacional exterior",
    "europe": "eu europe european europa europäisch europäische europäischen ue européenne européen europea europeo "
    "europeia",
}


@cache
def _by_stem() -> dict[str, str]:
    return {stem: f"@{name}" for name, words in _CONCEPTS.items() for stem in stems(words)}


def concept_of(word: str) -> str | None:
    return _by_stem().get(word)


def concepts_of(words: Iterable[str]) -> frozenset[str]:
    """The concepts (as "@return") that stemmed `words` stand for."""
    table = _by_stem()
    return frozenset(table[word] for word in words if word in table)
