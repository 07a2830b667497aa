"""Whole cents in words: a cent is the smallest unit of its currency, which is not a hundredth everywhere."""

from decimal import Decimal

# Currencies without digits after the point, and with three; as in ISO 4217, but for MGA, ISK and UGX, which are
# here as Stripe counts them.
NONE = ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
THREE = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")


def digits(currency: str) -> int:
    """How many digits an amount has after the point."""
    return 0 if currency in NONE else 3 if currency in THREE else 2


def money(cents: int, currency: str) -> str:
    """`-1234, "USD"` is "-12.34 USD", and `1234, "JPY"` is "1,234 JPY"."""
    places = digits(currency)
    return f"{Decimal(cents).scaleb(-places):,.{places}f} {currency}"
