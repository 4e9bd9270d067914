"""Prices of an order: discounts, shipping and tax. All amounts are in cents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FREE_SHIPPING_FROM = 5000
SHIPPING = 490
TAX_PERCENT = 20

#: Quantity from which a discount in percent holds, in rising order.
DISCOUNTS = ((10, 5), (50, 10), (100, 20))


@dataclass(frozen=True)
class Line:
    """One line of an order."""

    name: str
    unit_cents: int
    quantity: int


def discount_percent(quantity: int) -> int:
    """The best discount that a quantity earns."""
    percent = 0
    for threshold, value in DISCOUNTS:
        if quantity >= threshold:
            percent = value
    return percent


def line_total(line: Line) -> int:
    """A line's price with its discount, rounded half up to whole cents."""
    full = line.unit_cents * line.quantity
    return (full * (100 - discount_percent(line.quantity)) + 50) // 100


def shipping(subtotal: int) -> int:
    """Shipping is free from a certain amount on; an empty order is not shipped."""
    if subtotal == 0 or subtotal >= FREE_SHIPPING_FROM:
        return 0
    return SHIPPING


def order_total(lines: Iterable[Line]) -> int:
    """What the customer pays: all lines and shipping."""
    subtotal = sum(line_total(line) for line in lines)
    return subtotal + shipping(subtotal)


def included_tax(total: int) -> int:
    """The tax that is part of a total, rounded down."""
    return total * TAX_PERCENT // (100 + TAX_PERCENT)


def split_evenly(total: int, parts: int) -> list[int]:
    """Divide an amount into parts that differ by at most one cent, larger ones first."""
    if parts < 1:
        raise ValueError("parts must be at least 1")
    share, rest = divmod(total, parts)
    return [share + 1] * rest + [share] * (parts - rest)
