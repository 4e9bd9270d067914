"""Amounts are whole cents."""


def parse(text):
    """Cents of "12.34", "-3" or "1,250.5"."""
    text = text.strip().replace(",", "")
    sign = -1 if text.startswith("-") else 1
    whole, _, part = text.lstrip("+-").partition(".")
    if not whole.isdigit() or (part and not part.isdigit()):
        raise ValueError(f"not an amount: {text!r}")
    return sign * (int(whole) * 100 + int((part + "00")[:2]))


def show(cents):
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}{whole:,}.{part:02d}"


def split(cents, shares):
    """Divide among people so that no cent is lost; the first ones get the odd cents."""
    if shares < 1:
        raise ValueError("nobody to share with")
    base, rest = divmod(cents, shares)
    parts = []
    for index in range(shares):
        parts.append(base + 1 if index < rest else base)
    return parts


def convert(cents, rate):
    """Half a cent goes to the even neighbour."""
    return round(cents * rate)
