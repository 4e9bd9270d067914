"""Holes beside encoded prompts (layout.py): every prompt is encoded once, context and what was
there, and all of its fills lie side by side behind it, each blind to the others.

Any number of prompts at once, with gradients where torch records them. P prompts, S tokens of an
encoded prompt, Q tokens of its fills, D width, N masked places of all holes together, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffufix.decode.context.views import View, table
from diffufix.decode.layout import context_ids, fill_segment, was_segment
from diffufix.decode.types import Asked
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Cache, Transformer


class AppendedContext:
    """The `Context` of families that read holes beside their context."""

    def __init__(
        self,
        model: Transformer,
        family: Family,
        views: Sequence[View],
        banned: tuple[int, ...],
        refresh: int | None = None,
    ) -> None:
        """`refresh` changes nothing: the prompt does not see the hole."""
        if family.was is None:
            raise UsageError(f"{family.name} does not read holes beside their context.")
        self.model, self.family, self.banned = model, family, banned
        self.vocab_size = model.config.vocab_size
        ids, positions, lengths = [], [], []
        self._spans: list[tuple[int, int]] = []
        for view in views:
            around = [*view.left, *view.shown, *view.right]
            context = context_ids(family, around, view.failure)
            start = len(view.left) + 1
            was, before = was_segment(family, view.original, start)
            self._spans.append((start, start + len(view.shown)))
            ids.append(context + was)
            positions.append([*range(len(context)), *before])
            lengths.append(len(context))
        device = model.device
        ids_PS, positions_PS = table(ids).to(device), table(positions).to(device)
        place_S = torch.arange(ids_PS.shape[1], device=device)
        context_PS = place_S < torch.tensor(lengths, device=device)[:, None]
        self._keep_PS = place_S < torch.tensor([len(row) for row in ids], device=device)[:, None]
        was_PS = self._keep_PS & ~context_PS
        seen = context_PS[:, None, :] | (was_PS[:, :, None] & was_PS[:, None, :])
        hidden_PSD, self._cache = model.hidden(ids_PS, positions_PS, seen[:, None])
        self._copied: tuple[Tensor, Tensor, Tensor] | None = None  # keys, ids, which of them count
        if model.copy is not None:
            self._copied = model.copy.k_proj(hidden_PSD), ids_PS, context_PS
        self._part: tuple[tuple[int, ...], Cache, Tensor] | None = None

    @staticmethod
    def positions(around: int, hole: int, passes: int) -> int:
        """See `positions_of`."""
        return passes * hole + around

    def logits(self, holes: Sequence[Asked]) -> Tensor:
        family = self.family
        prompts = tuple(sorted({prompt for prompt, _ in holes}))
        line_of = {prompt: line for line, prompt in enumerate(prompts)}
        ids: list[list[int]] = [[] for _ in prompts]
        positions: list[list[int]] = [[] for _ in prompts]
        rows: list[list[int]] = [[] for _ in prompts]
        at: list[tuple[int, int]] = []
        for number, (prompt, hole) in enumerate(holes):
            line = line_of[prompt]
            begin = len(ids[line])
            at += [(line, begin + i) for i, token in enumerate(hole) if token == family.mask]
            tokens, places = fill_segment(family, *self._spans[prompt], hole)
            ids[line] += tokens
            positions[line] += places
            rows[line] += [number] * len(tokens)
        device = self.model.device
        ids_PQ, positions_PQ = table(ids).to(device), table(positions).to(device)
        rows_PQ = table(rows, -1).to(device)
        cache, keep_PS = self._of(prompts)
        far = keep_PS[:, None, :].expand(-1, ids_PQ.shape[1], -1)
        near = rows_PQ[:, :, None] == rows_PQ[:, None, :]
        seen = torch.cat([far, near], dim=2)[:, None]
        hidden_PQD, _ = self.model.hidden(ids_PQ, positions_PQ, seen, cache)
        at_N2 = torch.tensor(at, device=device)
        chosen_ND = hidden_PQD[at_N2[:, 0], at_N2[:, 1]]
        logits_NV = self.model.lm_head(chosen_ND)
        if self.model.copy is not None and self._copied is not None:
            logits_NV = logits_NV.float()
            owner_N = torch.tensor(prompts, device=device)[at_N2[:, 0]]
            keys, shown, count = (each[owner_N] for each in self._copied)
            logits_NV = self.model.copy(logits_NV, chosen_ND, keys, shown, count)
        return logits_NV

    def _of(self, prompts: tuple[int, ...]) -> tuple[Cache, Tensor]:
        """Keys, values and which of them count, of these prompts alone."""
        if len(prompts) == len(self._spans):
            return self._cache, self._keep_PS
        if self._part is None or self._part[0] != prompts:
            index = torch.tensor(prompts, device=self.model.device)
            cache = [(k[index], v[index]) for k, v in self._cache]
            self._part = prompts, cache, self._keep_PS[index]
        return self._part[1:]
