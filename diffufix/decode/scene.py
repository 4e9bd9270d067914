"""Prompts and a model that answers for many partly filled holes of theirs in one pass.

The training side of denoiser.py: any number of prompts at once, and with gradients where torch
records them. Nothing is computed for masks that nobody asks about.

`AsideScene` encodes every prompt once (context and what was there, layout.py) and lays all of its
fills side by side behind it, each blind to the others. `InlineScene` computes every hole within
its whole canvas. Both give the same logits as the denoisers, to float tolerance.

P prompts, S tokens of an encoded prompt, Q tokens of its fills, R rows, T tokens of a row, D
width, N masked places of all rows together, V vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from diffufix.decode.denoiser import family_of
from diffufix.decode.layout import context_ids, fill_segment, was_segment
from diffufix.decode.types import Asked, PromptLike
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Cache, Transformer, padded

HIDDEN = 0.15  # share of the prompt's tokens that d1 hides
#: What stands for -inf: its product with a probability of 0 is 0, and no gradient becomes nan.
NEVER = -1e30


class Scene(Protocol):
    """Prompts, in the order in which they were given, and the model's answers about them."""

    def logits(self, asked: Sequence[Asked]) -> Tensor:
        """Float32 logits [N, V] at every mask: hole by hole, left to right, in `asked`'s order.

        Already aligned, whatever the family's shift. Ids that no completion holds have NEVER.
        """
        ...


def make_scene(
    model: Transformer,
    prompts: Sequence[PromptLike],
    seeds: Sequence[int | None] | None = None,
    family: Family | None = None,
) -> Scene:
    """The scene of these prompts; where a seed is given, a share HIDDEN of a prompt is masked.

    Raises UsageError where the model has no family, or an inline prompt nothing on its left.
    """
    known = family_of(model, family)
    views = [
        _view(known, prompt, seed)
        for prompt, seed in zip(prompts, seeds or [None] * len(prompts), strict=True)
    ]
    kind = AsideScene if known.layout == "aside" else InlineScene
    return kind(model, known, views)


class _View:
    """What is shown of a prompt."""

    __slots__ = ("failure", "left", "original", "right", "shown")

    def __init__(
        self, left: list[int], right: list[int], original: list[int], shown: list[int],
        failure: list[int],
    ) -> None:  # fmt: skip
        self.left, self.right, self.failure = left, right, failure
        self.original, self.shown = original, shown  # behind `was`, and within the context


def _view(family: Family, prompt: PromptLike, seed: int | None) -> _View:
    gap = [family.gap] if prompt.gap and family.gap is not None else []
    parts = [list(prompt.left), list(prompt.right), [] if prompt.gap else list(prompt.original)]
    parts.append(list(prompt.failure))
    if seed is not None:
        lots = random.Random(seed)
        for part in parts:
            part[:] = [family.mask if lots.random() < HIDDEN else token for token in part]
        if family.shift and prompt.left:  # nothing would predict the first position
            parts[0][0] = prompt.left[0]
    left, right, original, failure = parts
    return _View(left, right, original, gap or original, failure)


def never(model: Transformer, family: Family) -> Tensor:
    """[V]: NEVER at the ids that a completion cannot hold, special ones and `expand`; 0 elsewhere.
    A completion has as many ids as its canvas has places, `delete` among them."""
    banned = set(getattr(model, "banned", family.specials))
    if family.expand is not None:
        banned.add(family.expand)
    bias = torch.zeros(model.config.vocab_size, device=model.device)
    bias[sorted(banned)] = NEVER
    return bias


class AsideScene:
    """Prompts encoded once; see the module's docstring."""

    def __init__(self, model: Transformer, family: Family, views: Sequence[_View]) -> None:
        if family.was is None:
            raise UsageError(f"{family.name} does not read holes beside their context.")
        self.model, self.family, self._never = model, family, never(model, family)
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
        ids_PS, positions_PS = _table(ids).to(device), _table(positions).to(device)
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

    def logits(self, asked: Sequence[Asked]) -> Tensor:
        family = self.family
        prompts = tuple(sorted({prompt for prompt, _ in asked}))
        line_of = {prompt: line for line, prompt in enumerate(prompts)}
        ids: list[list[int]] = [[] for _ in prompts]
        positions: list[list[int]] = [[] for _ in prompts]
        rows: list[list[int]] = [[] for _ in prompts]
        at: list[tuple[int, int]] = []
        for number, (prompt, hole) in enumerate(asked):
            line = line_of[prompt]
            begin = len(ids[line])
            at += [(line, begin + i) for i, token in enumerate(hole) if token == family.mask]
            tokens, places = fill_segment(family, *self._spans[prompt], hole)
            ids[line] += tokens
            positions[line] += places
            rows[line] += [number] * len(tokens)
        device = self.model.device
        ids_PQ, positions_PQ = _table(ids).to(device), _table(positions).to(device)
        rows_PQ = _table(rows, -1).to(device)
        cache, keep_PS = self._of(prompts)
        far = keep_PS[:, None, :].expand(-1, ids_PQ.shape[1], -1)
        near = rows_PQ[:, :, None] == rows_PQ[:, None, :]
        seen = torch.cat([far, near], dim=2)[:, None]
        hidden_PQD, _ = self.model.hidden(ids_PQ, positions_PQ, seen, cache)
        at_N2 = torch.tensor(at, device=device)
        chosen_ND = hidden_PQD[at_N2[:, 0], at_N2[:, 1]]
        logits_NV = self.model.lm_head(chosen_ND).float()
        if self.model.copy is not None and self._copied is not None:
            owner_N = torch.tensor(prompts, device=device)[at_N2[:, 0]]
            keys, shown, count = (each[owner_N] for each in self._copied)
            logits_NV = self.model.copy(logits_NV, chosen_ND, keys, shown, count)
        return logits_NV + self._never

    def _of(self, prompts: tuple[int, ...]) -> tuple[Cache, Tensor]:
        """Keys, values and which of them count, of these prompts alone."""
        if len(prompts) == len(self._spans):
            return self._cache, self._keep_PS
        if self._part is None or self._part[0] != prompts:
            index = torch.tensor(prompts, device=self.model.device)
            cache = [(k[index], v[index]) for k, v in self._cache]
            self._part = prompts, cache, self._keep_PS[index]
        return self._part[1:]


class InlineScene:
    """Every hole within its whole canvas."""

    def __init__(self, model: Transformer, family: Family, views: Sequence[_View]) -> None:
        if family.shift and not all(view.left for view in views):
            raise UsageError(
                "A hole has nothing on its left to be predicted from.",
                "Begin the canvas with the model's bos or eos id.",
            )
        self.model, self.family, self._never = model, family, never(model, family)
        self._views = views

    def logits(self, asked: Sequence[Asked]) -> Tensor:
        rows, where, back = [], [], int(self.family.shift)
        for number, (prompt, hole) in enumerate(asked):
            view = self._views[prompt]
            rows.append([*view.left, *hole, *view.right])
            begin = len(view.left) - back
            where += [(number, begin + i) for i, t in enumerate(hole) if t == self.family.mask]
        device = self.model.device
        ids_RT = _table(rows, self.family.pad or 0).to(device)
        lengths_R1 = torch.tensor([[len(row)] for row in rows], device=device)
        keep_RT = torch.arange(ids_RT.shape[1], device=device) < lengths_R1
        positions, seen = (None, None) if bool(keep_RT.all()) else padded(keep_RT)
        hidden_RTD, _ = self.model.hidden(ids_RT, positions, seen)
        at_N2 = torch.tensor(where, device=device)
        chosen_ND = hidden_RTD[at_N2[:, 0], at_N2[:, 1]]
        return self.model.lm_head(chosen_ND).float() + self._never


def _table(rows: Sequence[Sequence[int]], filler: int = 0) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])
