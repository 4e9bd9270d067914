"""What a completion was worth beside the others of its group. Pure.

Lengths: G completions of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

_LEAST = 1e-4  # what a standard deviation is at least, where rewards are divided by it


def leave_one_out(rewards: Sequence[float], *, scaled: bool = False) -> list[float]:
    """Each reward less the mean of the others' (RLOO): a baseline that its own sample has no part
    in, so that the gradient stays unbiased.

    `scaled` divides by the group's standard deviation, as GRPO does: easy and hard tasks then
    weigh alike. One completion alone has nothing to compare with: 0.
    """
    G = len(rewards)
    if G < 2:
        return [0.0] * G
    whole = sum(rewards)
    found = [r - (whole - r) / (G - 1) for r in rewards]
    if scaled:
        spread = max(stdev(rewards), _LEAST)
        found = [a / spread for a in found]
    return found


def spread(rewards: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; zeros where there is nothing."""
    if not rewards:
        return 0.0, 0.0
    return mean(rewards), stdev(rewards) if len(rewards) > 1 else 0.0
