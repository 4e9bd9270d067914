"""Summaries of a book."""

from collections import defaultdict

from ledger.money import show
from ledger.text import table


def totals(book):
    return {name: book.balance(name) for name in book.accounts}


def histogram(values, width):
    """How many values fall into each bucket of the given width; empty buckets in between too."""
    buckets = defaultdict(int)
    for value in values:
        buckets[value // width * width] += 1
    if not buckets:
        return []
    result = []
    start = min(buckets)
    while start <= max(buckets):
        result.append((start, buckets.get(start, 0)))
        start += width
    return result


def running(values):
    total = 0
    for value in values:
        total += value
        yield total


def median(values):
    values = sorted(values)
    if not values:
        raise ValueError("no values")
    middle = len(values) // 2
    if len(values) % 2:
        return values[middle]
    return (values[middle - 1] + values[middle]) / 2


def statement(book):
    rows = [(name, show(balance)) for name, balance in totals(book).items()]
    return table([("account", "balance"), *rows])
