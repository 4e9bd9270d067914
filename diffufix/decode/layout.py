"""The aside layout: how a hole is written beside its context. Ids and positions only, no torch.

    context   bos  left …  ORIGINAL …  right …  eos          attends to itself, encoded once
              FAILURE …  eos                                 part of it, where a test said something
    was       was  ORIGINAL …  now                           attends to the context and to itself
    fill      FILL …  eos                                    attends to both and to itself

What was there does not look at the fill: its keys and values are computed once per hole, and a
state of the search costs the fill's own tokens only. The hole's tokens take the positions of the
span that they stand for, so that rotary attention finds the surroundings; `was` and `now` sit one
left of the span and `eos` one right of it. Where the original is not to be shown, the context has
the single id `gap` in its place.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffufix.model.family import Family

#: Masks that a hole starts with beyond its original length; more tokens come by `expand`.
SLACK = 2


def context_ids(family: Family, ids: Sequence[int], failure: Sequence[int] = ()) -> list[int]:
    """The context as it is encoded: position p of `ids` is position p + 1 here.

    `failure` is what a failing test said (propose/failure.py); it moves nothing, being behind.
    """
    assert family.bos is not None
    assert family.eos is not None
    return [family.bos, *ids, family.eos, *([*failure, family.eos] if failure else ())]


def segment(
    family: Family, original: Sequence[int], start: int, end: int, fill: Sequence[int]
) -> tuple[list[int], list[int], int]:
    """Ids and positions of a hole, and the index of the fill's first token in them.

    `start` and `end` are positions of the span in the encoded context (`start` >= 1); `original`
    is empty for an insertion or a gap.
    """
    was, before = was_segment(family, original, start)
    shown, after = fill_segment(family, start, end, fill)
    return was + shown, before + after, len(was)


def was_segment(family: Family, original: Sequence[int], start: int) -> tuple[list[int], list[int]]:
    """Ids and positions of what was there."""
    assert family.was is not None
    assert family.now is not None
    positions = [start - 1, *range(start, start + len(original)), start - 1]
    return [family.was, *original, family.now], positions


def fill_segment(
    family: Family, start: int, end: int, fill: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Ids and positions of a fill."""
    assert family.eos is not None
    return [*fill, family.eos], [*range(start, start + len(fill)), end]
