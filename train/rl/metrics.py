"""What is told of a step: rewards, lengths, AR-ness. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import mean

from diffufix.types import Group


def arness(orders: Iterable[Sequence[int]]) -> float:
    """The share of commits that went to the place right of the one before; 0 where none could:
    how far completions were written from left to right (local AR-ness of arXiv 2506.20639).

    Each of `orders` says of every place, left to right, how many commits came before its own.
    """
    following = all_pairs = 0
    for order in orders:
        places = sorted(range(len(order)), key=lambda place: order[place])
        steps = list(pairwise(places))
        following += sum(right == left + 1 for left, right in steps)
        all_pairs += len(steps)
    return following / all_pairs if all_pairs else 0.0


def described(groups: Sequence[Group], delete: int | None) -> dict[str, float]:
    """What groups look like: shares of verdicts, of unchanged texts, length, AR-ness."""
    every = [(group.task, one) for group in groups for one in group.completions]
    if not every:
        return {}
    count = len(every)
    orders = [
        [o for o, token in zip(one.order, one.ids, strict=True) if token != delete]
        for _, one in every
    ]
    return {
        "passed": sum(one.state == "pass" for _, one in every) / count,
        "unparsed": sum(one.state == "error" for _, one in every) / count,
        "unchanged": sum(one.text == t.source[t.start : t.end] for t, one in every) / count,
        "length": mean(map(len, orders)),
        "arness": arness(orders),
    }
