"""Whole cents in words."""


def money(cents: int, currency: str) -> str:
    """`-1234, "USD"` is "-12.34 USD"."""
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}{whole:,}.{part:02} {currency}"
