"""The aside layout: how a hole is written beside its context. Ids and positions only, no torch.

    context   bos  left …  ORIGINAL …  right …  eos          attends to itself, encoded once
    hole      was  ORIGINAL …  now  FILL …  eos              attends to the context and to itself

The hole's tokens take the positions of the span that they stand for, so that rotary attention
finds the surroundings; `was` and `now` sit one left of the span and `eos` one right of it. Where
the original is not to be shown, the context has the single id `gap` in its place.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffufix.model.family import Family

#: Masks that a hole starts with beyond its original length; more tokens come by `expand`.
SLACK = 2


def context_ids(family: Family, ids: Sequence[int]) -> list[int]:
    """The context as it is encoded: position p of `ids` is position p + 1 here."""
    assert family.bos is not None
    assert family.eos is not None
    return [family.bos, *ids, family.eos]


def segment(
    family: Family, original: Sequence[int], start: int, end: int, fill: Sequence[int]
) -> tuple[list[int], list[int], int]:
    """Ids and positions of a hole, and the index of the fill's first token in them.

    `start` and `end` are positions of the span in the encoded context (`start` >= 1); `original`
    is empty for an insertion or a gap.
    """
    assert family.was is not None
    assert family.now is not None
    assert family.eos is not None
    ids = [family.was, *original, family.now, *fill, family.eos]
    positions = [start - 1, *range(start, start + len(original)), start - 1]
    positions += [*range(start, start + len(fill)), end]
    return ids, positions, len(original) + 2
