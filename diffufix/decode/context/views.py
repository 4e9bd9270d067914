"""What of a prompt a model sees, and which ids it may never put there. Shared by both contexts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.types import Canvas, Prompt

HIDDEN = 0.15  # share of the prompt's tokens that d1 hides
#: What stands for -inf: its product with a probability of 0 is 0, and no gradient becomes nan.
NEVER = -1e30


def family_of(model: Transformer, family: Family | None) -> Family:
    """The family given, or the loaded model's own. Raises UsageError where there is neither."""
    family = family or getattr(model, "family", None)
    if family is None:
        raise UsageError("A model that was not loaded from a checkpoint needs `family`.")
    return family


@dataclass(frozen=True)
class View:
    """Ids on both sides of a hole; `original` is shown beside it (appended), `shown` in it."""

    left: list[int]
    right: list[int]
    original: list[int]
    shown: list[int]
    failure: list[int]


def view_of(family: Family, prompt: Prompt | Canvas, seed: int | None = None) -> View:
    """With a seed, a share HIDDEN of the prompt's tokens is masked."""
    if isinstance(prompt, Canvas):
        hidden, failure = not prompt.original, list[int]()
    else:
        hidden, failure = prompt.gap, list(prompt.failure)
    gap = [family.gap] if hidden and family.gap is not None else []
    parts = [list(prompt.left), list(prompt.right), [] if hidden else list(prompt.original)]
    parts.append(failure)
    if seed is not None:
        lots = random.Random(seed)
        for part in parts:
            part[:] = [family.mask if lots.random() < HIDDEN else token for token in part]
        if family.shift and prompt.left:  # nothing would predict the first position
            parts[0][0] = prompt.left[0]
    left, right, original, failure = parts
    return View(left, right, original, gap or original, failure)


def banned_of(model: Transformer, family: Family) -> tuple[int, ...]:
    """Ids that no hole may hold, `expand` and `delete` apart."""
    return tuple(getattr(model, "banned", family.specials))


def never(model: Transformer, family: Family) -> Tensor:
    """[V]: NEVER at the ids that a completion cannot hold, special ones and `expand`; 0 elsewhere.
    A completion has as many ids as its canvas has places, `delete` among them."""
    banned = set(banned_of(model, family))
    if family.expand is not None:
        banned.add(family.expand)
    bias = torch.zeros(model.config.vocab_size, device=model.device)
    bias[sorted(banned)] = NEVER
    return bias


def table(rows: Sequence[Sequence[int]], filler: int = 0) -> Tensor:
    """[R, T] of rows of any length."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])
