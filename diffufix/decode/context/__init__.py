"""`Context`: prompts, and a model that answers for partly filled holes of theirs.

All that the decoding loops, the likelihoods and the objectives know of a model is
`context.logits(holes)`. There are two ways to compute it, by how a family reads a hole, chosen here
and nowhere else:
- appended (mini; appended.py): the prompt is encoded once, holes stand beside it and see it;
- in place (Dream, LLaDA, ...; in_place.py): a hole stands between its two sides, which see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from diffufix.decode.context.appended import AppendedContext
from diffufix.decode.context.in_place import InPlaceContext
from diffufix.decode.context.views import banned_of, family_of, view_of
from diffufix.decode.types import Asked
from diffufix.errors import UsageError
from diffufix.model.family import Family, Layout
from diffufix.model.transformer import Transformer
from diffufix.types import Canvas, Prompt


class Context(Protocol):
    """Prompts, in the order in which they were given."""

    family: Family
    #: Ids that no hole may hold, `expand` and `delete` apart; the caller takes them out.
    banned: tuple[int, ...]
    vocab_size: int

    def logits(self, holes: Sequence[Asked]) -> Tensor:
        """Logits [N, V] at every mask of every hole: hole by hole, left to right.

        A hole is the index of its prompt and its ids, masks included. Already aligned: the row of
        a mask is its own prediction, whatever the family's shift. Gradients are recorded where
        torch records them. The caller may write into the result.
        """
        ...


_WAYS: dict[Layout, type[AppendedContext] | type[InPlaceContext]] = {
    "aside": AppendedContext,
    "inline": InPlaceContext,
}


def open_context(
    model: Transformer,
    prompts: Sequence[Prompt | Canvas],
    *,
    seeds: Sequence[int | None] | None = None,
    family: Family | None = None,
    refresh: int | None = None,
) -> Context:
    """The context of these prompts, computed the model's way.

    Where a seed is given, a share of that prompt is masked (views.HIDDEN). `refresh` lets holes in
    place share one encoding of their surroundings, renewed after so many passes (0: never); None
    is exact. Raises UsageError where the model has no family, or a prompt nothing on its left.
    """
    known = family_of(model, family)
    if known.block:
        raise UsageError(
            f"{known.name} sees nothing to the right of a block: it cannot fill a hole.",
            "block_generate goes on with a text.",
        )
    views = [
        view_of(known, prompt, seed)
        for prompt, seed in zip(prompts, seeds or [None] * len(prompts), strict=True)
    ]
    return _WAYS[known.layout](model, known, views, banned_of(model, known), refresh)


def positions_of(family: Family, around: int, hole: int, passes: int) -> int:
    """Positions that a model computes for so many passes over one hole: tokens `around` it are
    encoded once, or with it in every pass."""
    return _WAYS[family.layout].positions(around, hole, passes)
