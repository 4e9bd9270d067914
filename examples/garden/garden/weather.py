"""Rain and frost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; 0 of nothing.

    >>> mean([1, 2, 6])
    3.0
    >>> mean([])
    0
    """
    raise NotImplementedError


def dry_days(rain: Sequence[float], limit: float = 1.0) -> int:
    """On how many days it rained less than the limit (in millimetres).

    >>> dry_days([0, 3.5, 0.2, 1.0])
    2
    >>> dry_days([0.5, 2, 3], limit=5)
    3
    """
    raise NotImplementedError


def frosty(lows: Sequence[float]) -> bool:
    """Was there a night below zero?

    frosty([3, -1, 2]) -> True, frosty([0, 4]) -> False, frosty([]) -> False
    """
    raise NotImplementedError


def running_totals(rain: Sequence[float]) -> Iterator[float]:
    """The rain fallen until each day, that day included.

    >>> list(running_totals([1, 0, 4]))
    [1, 1, 5]
    """
    raise NotImplementedError


def longest_drought(rain: Sequence[float]) -> int:
    """The length of the longest run of days without any rain.

    >>> longest_drought([0, 0, 3, 0])
    2
    >>> longest_drought([5, 1])
    0
    >>> longest_drought([1, 0, 0, 0])
    3
    """
    raise NotImplementedError
