"""How far completions were written from left to right (local AR-ness of arXiv 2506.20639). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise


def arness(orders: Iterable[Sequence[int]]) -> float:
    """The share of commits that went to the place right of the one before; 0 where none could.

    Each of `orders` says of every place, left to right, how many commits came before its own.
    """
    following = all_pairs = 0
    for order in orders:
        places = sorted(range(len(order)), key=lambda place: order[place])
        steps = list(pairwise(places))
        following += sum(right == left + 1 for left, right in steps)
        all_pairs += len(steps)
    return following / all_pairs if all_pairs else 0.0
