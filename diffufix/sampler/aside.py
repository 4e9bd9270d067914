"""Holes beside an encoded context (layout.py): one context, any number of its holes at once.

N masked positions of all holes together, V vocabulary, B holes, T positions of a hole's segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Cache, Transformer
from diffufix.sampler.denoiser import family_of
from diffufix.sampler.layout import context_ids, segment
from diffufix.sampler.types import Canvas


@dataclass(frozen=True)
class Place:
    """Where a hole is in an encoded context: positions [start, end), and the ids shown of it."""

    start: int
    end: int
    original: tuple[int, ...]


class AsideContext:
    """Keys and values of one context; `logits` asks about any of its holes."""

    def __init__(
        self, model: Transformer, ids: Sequence[int], family: Family | None = None
    ) -> None:
        self.model = model
        self.family = family_of(model, family)
        if self.family.layout != "aside" or self.family.was is None:
            raise UsageError(f"{self.family.name} does not read holes beside their context.")
        self.banned: tuple[int, ...] = getattr(model, "banned", tuple(self.family.specials))
        self.vocab_size = model.config.vocab_size
        shown = torch.tensor([context_ids(self.family, ids)], device=model.device)
        self._cache: Cache = model.encode(shown)

    def logits(self, places: Sequence[Place], holes: Sequence[Sequence[int]]) -> Tensor:
        """Logits [N, V] at every mask, hole by hole, left to right."""
        rows = [
            segment(self.family, place.original, place.start, place.end, hole)
            for place, hole in zip(places, holes, strict=True)
        ]
        width = max(len(ids) for ids, _, _ in rows)
        pad = self.family.pad or 0
        device = self.model.device
        ids_BT = torch.tensor(
            [ids + [pad] * (width - len(ids)) for ids, _, _ in rows], device=device
        )
        positions_BT = torch.tensor(
            [positions + [0] * (width - len(positions)) for _, positions, _ in rows], device=device
        )
        lengths = torch.tensor([len(ids) for ids, _, _ in rows], device=device)
        keep_BT = torch.arange(width, device=device)[None] < lengths[:, None]
        hidden_BTD = self.model.denoise(ids_BT, positions_BT, self._cache, keep_BT)
        return self.model.lm_head(hidden_BTD[keep_BT & (ids_BT == self.family.mask)])


class AsideDenoiser:
    """The `Denoiser` of one canvas: its original, where known, is shown in the context."""

    def __init__(self, model: Transformer, canvas: Canvas, family: Family | None = None) -> None:
        known = family_of(model, family)
        shown = canvas.original or ((known.gap,) if known.gap is not None else ())
        self._context = AsideContext(model, [*canvas.left, *shown, *canvas.right], family)
        self.family, self.banned = self._context.family, self._context.banned
        self.vocab_size = self._context.vocab_size
        start = len(canvas.left) + 1
        self._place = Place(start, start + len(shown), canvas.original)

    def logits(self, holes: Sequence[Sequence[int]]) -> Tensor:
        return self._context.logits([self._place] * len(holes), holes)
