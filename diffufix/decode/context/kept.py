"""What is kept of a hole from one pass to the next: keys and values of its own rows.

Most of a hole stays as it was when one more of its masks is committed. Computed again are the rows
that predict a mask, and those whose token has changed; the others keep the keys and values of the
pass that computed them last (delayed caching, as dKV-Cache, arXiv 2505.15781). Rows are those of
the hole, behind `back` rows of the context that are computed with it. R rows, L layers, K key/value
heads, E head dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

KEPT = 256  # holes of one prompt and length


@dataclass(frozen=True)
class CachedHole:
    """A hole as it was, masks included, and its rows' keys and values [R, L, 2, K, E]."""

    ids: tuple[int, ...]
    rows: Tensor


def nearest(hole: Sequence[int], kept: Iterable[CachedHole], mask: int) -> CachedHole | None:
    """The hole before from which the fewest masks have been committed to give this one."""
    best, least = None, len(hole) + 1
    for one in kept:
        changed = sum(was != now for was, now in zip(one.ids, hole, strict=True))
        if changed < least and all(
            was in (now, mask) for was, now in zip(one.ids, hole, strict=True)
        ):
            best, least = one, changed
    return best


def new_rows(hole: Sequence[int], before: CachedHole | None, mask: int, back: int) -> list[int]:
    """The rows to compute, in order: all of them without a hole before."""
    if before is None:
        return list(range(back + len(hole)))
    predicting = {i for i, token in enumerate(hole) if token == mask}
    changed = {i + back for i, (was, now) in enumerate(zip(before.ids, hole, strict=True))
               if was != now}  # fmt: skip
    return sorted(predicting | changed)


def kept_rows(before: CachedHole, rows: Sequence[int]) -> Tensor:
    """Keys and values of the rows that are not computed again."""
    others = sorted(set(range(len(before.rows))) - set(rows))
    return before.rows[torch.tensor(others, dtype=torch.long, device=before.rows.device)]


def renewed(
    hole: Sequence[int], before: CachedHole | None, rows: Sequence[int], own: Tensor
) -> CachedHole:
    """The hole as it is now, with the rows just computed."""
    if before is None:
        return CachedHole(tuple(hole), own)
    values = before.rows.clone()
    values[torch.tensor(rows, dtype=torch.long, device=values.device)] = own
    return CachedHole(tuple(hole), values)
