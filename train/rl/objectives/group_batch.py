"""A policy gradient's settings, and groups as its batches: which teach, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from diffufix.decode.context import positions_of
from diffufix.model.family import Family
from diffufix.types import Completion, Group


@dataclass(frozen=True)
class GRPOSettings:
    """The objective of the paper, with its clipping, KL and reference.

    What a run of `diffufix train` does otherwise than the released recipe: the norm of the gradient
    is cut at 1 (.2 there), AdamW has the betas .9/.97 and no weight decay (.9/.99, .1), the rate is
    constant after a short warm-up (cosine), a group has 8 completions (10), and likelihoods are
    those at the temperature of the sampling (1 there).
    """

    estimator: str = "coupled"  # estimators.py; groups of another one are left out
    level: str = "token"  # or "sequence"
    inner: int = 2  # optimiser steps on the same groups (mu)
    clip_low: float = 0.5
    clip_high: float = 0.5
    beta: float = 0.01  # weight of the KL to the reference
    sync_every: int = 64  # optimiser steps after which the reference moves towards the policy,
    sync_mix: float = 0.6  # by this share of the way (TRL's default, which the recipe keeps)
    scaled: bool = False  # advantages by the group's standard deviation
    max_norm: float = 0.2  # of the gradient
    max_age: int = 2  # updates since the weights that sampled
    together: int = 8  # groups in one pass at most, and
    tokens: int = 32_768  # so many tokens, prompts counted with every mask: memory

    @classmethod
    def of(cls, estimator: str, **others: Any) -> GRPOSettings:
        """The settings that go with an estimator: `count` is for whole sequences."""
        level = "sequence" if estimator == "count" else "token"
        return cls(**{"estimator": estimator, "level": level, **others})


@dataclass(frozen=True)
class GroupBatch:
    """Completions of one pass. `old`, `keep` [N, C]; `advantages`, `weights` [N]: the share of
    each place's, or each sequence's, loss in the whole update's."""

    completions: Sequence[tuple[Group, Completion]]
    draw: int
    old: Tensor
    keep: Tensor
    advantages: Tensor
    weights: Tensor


def usable(
    groups: Sequence[Group], settings: GRPOSettings, ages: Mapping[str, int] | None = None
) -> tuple[list[Group], dict[str, int]]:
    """The groups that teach, and how many were left out for what reason.

    `ages` says of each version of the weights (`Group.model`) how many updates ago it was the
    policy; a version that it does not know is too old. None: all are fresh.
    """
    kept: list[Group] = []
    counts = {"infra": 0, "stale": 0, "unscored": 0, "flat": 0}
    for group in groups:
        age = 0 if ages is None else ages.get(group.model, math.inf)
        if group.rewards is None:
            counts["infra"] += 1
        elif age > settings.max_age:
            counts["stale"] += 1
        elif group.estimator != settings.estimator or not _scored(group):
            counts["unscored"] += 1
        elif not group.has_signal:
            counts["flat"] += 1
        else:
            kept.append(group)
    return kept, counts


def _scored(group: Group) -> bool:
    return all(c.noise and len(c.noise) == len(c.behaviour) for c in group.completions)


def tokens_of(family: Family, group: Group, completion: Completion, draw: int) -> int:
    """Tokens that one completion costs in a pass: a sequence for every mask of its draw."""
    prompt, passes = group.prompt, len(completion.noise[draw].masks)
    around = len(prompt.left) + len(prompt.right) + len(prompt.original) + len(prompt.failure)
    return positions_of(family, around, len(completion.ids), passes)
