"""The fast, approximate way through an inline canvas: one context for all fills of a hole.

In a bidirectional model the context's keys and values depend on what is in the hole. Here they
are computed once for each length of the hole and shared by all fills; only the hole is computed
anew, with the one position left of it where the family is shifted. Every `refresh` passes they
are computed again, around a hole that holds what all fills agree on and masks elsewhere. So the
first pass is exact, and with `refresh=1` every pass in which the holes of a length are equal.
B holes of one length, T positions, D width, N masked positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffufix.decode.denoiser import InlineDenoiser
from diffufix.model.family import Family
from diffufix.model.transformer import Cache, Transformer
from diffufix.types import Canvas


class CachedDenoiser(InlineDenoiser):
    """`refresh` 0 keeps the first context for good."""

    def __init__(
        self,
        model: Transformer,
        canvas: Canvas,
        family: Family | None = None,
        *,
        refresh: int = 8,
    ) -> None:
        super().__init__(model, canvas, family)
        self._refresh = refresh
        self._passes = 0
        self._contexts: dict[int, Cache] = {}
        # The position whose row predicts the hole's first token is computed with the hole.
        own = int(self.family.shift)
        self._near = self._left[len(self._left) - own :]
        self._far = len(self._left) - own

    def logits(self, holes: Sequence[Sequence[int]]) -> Tensor:
        if self._refresh and self._passes % self._refresh == 0:
            self._contexts.clear()
        self._passes += 1
        mask = self.family.mask
        groups: dict[int, list[int]] = {}
        for index, hole in enumerate(holes):
            groups.setdefault(len(hole), []).append(index)
        parts: dict[int, Tensor] = {}
        for length, members in groups.items():
            same = torch.tensor([list(holes[index]) for index in members])
            hidden_BTD = self._denoise(same, length)
            if self.family.shift:
                hidden_BTD = hidden_BTD[:, :-1]
            for index, row, hole in zip(members, hidden_BTD, same, strict=True):
                parts[index] = row[(hole == mask).to(row.device)]
        hidden_ND = torch.cat([parts[index] for index in range(len(holes))])
        return self.model.lm_head(hidden_ND)

    def _denoise(self, holes_BT: Tensor, length: int) -> Tensor:
        if length not in self._contexts:
            agreed = (holes_BT == holes_BT[0]).all(0)
            shared = torch.where(agreed, holes_BT[0], self.family.mask)
            self._contexts[length] = self._encode(shared.tolist())
        device = self.model.device
        near_BT = torch.tensor([self._near] * len(holes_BT), dtype=torch.long)
        ids_BT = torch.cat([near_BT, holes_BT], dim=1).to(device)
        positions = torch.arange(self._far, self._far + ids_BT.shape[1], device=device)[None]
        keep_BT = torch.ones_like(ids_BT, dtype=torch.bool)
        return self.model.denoise(ids_BT, positions, self._contexts[length], keep_BT)

    def _encode(self, hole: list[int]) -> Cache:
        """Keys and values of everything that is not computed with the hole."""
        ids = torch.tensor([[*self._left, *hole, *self._right]], device=self.model.device)
        _, cache = self.model.hidden(ids)
        start, end = self._far, len(self._left) + len(hole)
        return [
            tuple(torch.cat([x[:, :, :start], x[:, :, end:]], dim=2) for x in pair)  # type: ignore[misc]
            for pair in cache
        ]
