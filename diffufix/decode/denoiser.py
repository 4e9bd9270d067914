"""The model's side of the decoding loop: holes in, logits at their masks out.

`Denoiser` is all that the loop in infill.py knows of a model. N masked positions of all holes
together, V vocabulary, B holes, T positions, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer, padded
from diffufix.types import Canvas


class Denoiser(Protocol):
    """One canvas and a model that predicts what its hole holds."""

    family: Family
    #: Ids that no hole may hold, `expand` and `delete` apart.
    banned: tuple[int, ...]
    vocab_size: int

    def logits(self, holes: Sequence[Sequence[int]]) -> Tensor:
        """Logits [N, V] for every mask of every hole: hole by hole, left to right.

        Already aligned: the row of a mask is its own prediction, whatever the family's shift.
        The caller may write into the result.
        """
        ...


def family_of(model: Transformer, family: Family | None) -> Family:
    """The family given, or the loaded model's own. Raises UsageError where there is neither."""
    family = family or getattr(model, "family", None)
    if family is None:
        raise UsageError("A model that was not loaded from a checkpoint needs `family`.")
    return family


class InlineDenoiser:
    """Exact: every hole is computed within its whole canvas, left context, hole, right context."""

    def __init__(self, model: Transformer, canvas: Canvas, family: Family | None = None) -> None:
        self.model = model
        self.family = family_of(model, family)
        self.banned: tuple[int, ...] = getattr(model, "banned", tuple(self.family.specials))
        self.vocab_size = model.config.vocab_size
        self._left, self._right = list(canvas.left), list(canvas.right)
        if self.family.shift and not self._left:
            raise UsageError(
                "The hole has nothing on its left to be predicted from.",
                "Begin the canvas with the model's bos or eos id.",
            )

    def logits(self, holes: Sequence[Sequence[int]]) -> Tensor:
        rows = [[*self._left, *hole, *self._right] for hole in holes]
        width = max(map(len, rows))
        filler = self.family.pad if self.family.pad is not None else 0
        ids_BT = torch.tensor([row + [filler] * (width - len(row)) for row in rows])
        keep_BT = torch.arange(width)[None] < torch.tensor([len(row) for row in rows])[:, None]
        where_BT = torch.zeros_like(keep_BT)
        for index, hole in enumerate(holes):
            inside = torch.tensor(hole) == self.family.mask
            where_BT[index, len(self._left) : len(self._left) + len(hole)] = inside
        if self.family.shift:
            where_BT = where_BT.roll(-1, dims=1)
        device = self.model.device
        positions, seen = (None, None) if bool(keep_BT.all()) else padded(keep_BT.to(device))
        hidden_BTD, _ = self.model.hidden(ids_BT.to(device), positions, seen)
        return self.model.lm_head(hidden_BTD[where_BT.to(device)])
