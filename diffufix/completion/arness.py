"""Autoregressiveness of a decoding (Gong et al., DiffuCoder, 2025, section 4).

One token is committed at a step; p_t is the position committed at step t, M_{t-1} those that are
masked before it. Both measures are 1 for a decoding from left to right.
"""

from __future__ import annotations

from collections.abc import Sequence


def local_arness(order: Sequence[int], k: int = 1) -> float | None:
    """NTP@k: the share of steps whose position follows the k positions committed just before.

    The first k steps have no k before them and are left out. None: there are no others.
    """
    steps = range(k, len(order))
    if not steps:
        return None
    hits = sum(all(order[t - i] == order[t] - i for i in range(1, k + 1)) for t in steps)
    return hits / len(steps)


def global_arness(order: Sequence[int], k: int = 1) -> float | None:
    """FMS@k: the share of steps that commit one of the k leftmost masks. None: no steps."""
    if not order:
        return None
    masked = sorted(order)
    hits = 0
    for position in order:
        hits += position in masked[:k]
        masked.remove(position)
    return hits / len(order)
