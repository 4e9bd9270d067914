"""Preference pairs: what one task's tests liked better, against what they liked less. Pure.

DPO with evidence lower bounds in place of likelihoods (VRPO of LLaDA 1.5, arXiv 2505.19223):

    loss = -log sigmoid(beta * ((E_better - ref_better) - (E_worse - ref_worse)))

E is a completion's bound by the policy, ref by the reference, the model that one started from. The
sigmoid turns noise of E into bias, so, as there, the budget goes into many numbers of masks with
one mask each (`count` of estimators.py: every draw is unbiased and counts each place once),
and policy and reference are asked under the same masks. Nothing is needed of the policy that
sampled, so pairs are good at any age.

N pairs; 2: better, worse.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diffufix.decode.likelihood import noised_logps, scored
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.train.optim import Average
from diffufix.train.rl.objectives.estimators import draw
from diffufix.train.rl.objectives.imitation import read_prompt
from diffufix.types import Completion, Group, Noise, Prompt

BETA = 0.2  # the larger, the closer to the reference
DRAWS = 4  # of masks, of each completion in a step
TOGETHER = 4  # pairs in one pass: memory
MARGIN = 0.05  # of rewards: what differs less is as good
PER_GROUP, PER_TASK = 4, 8
KEPT = 5_000  # pairs


@dataclass(frozen=True)
class PreferencePair:
    """Two completions of a prompt; `temperature` is the one that they were sampled at."""

    prompt: Prompt
    better: tuple[int, ...]
    worse: tuple[int, ...]
    temperature: float = 1.0

    @property
    def sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.better, self.worse


def pairs_of(group: Group, most: int = PER_GROUP) -> dict[str, PreferencePair]:
    """Pairs of different texts by name: those whose rewards are furthest apart first (to a tenth),
    and among equals those that use another completion each. None where a reward is missing."""
    if group.rewards is None:
        return {}
    texts: dict[str, Completion] = {}
    for one in group.completions:
        texts.setdefault(one.text, one)
    ranked = sorted(texts.values(), key=_reward, reverse=True)
    found = [
        (round(_reward(worse) - _reward(better), 1), abs(i + j + 1 - len(ranked)), i, better, worse)
        for (i, better), (j, worse) in itertools.combinations(enumerate(ranked), 2)
        if _reward(better) - _reward(worse) > MARGIN
    ]
    heat = float(group.sampling.get("temperature") or 1.0)
    return {
        f"{better.text}\0{worse.text}": PreferencePair(group.prompt, better.ids, worse.ids, heat)
        for *_, better, worse in sorted(found, key=lambda one: one[:3])[:most]
    }


def _reward(one: Completion) -> float:
    return one.reward or 0.0


@dataclass
class Pairs:
    """Pairs to learn from, the newest of each task kept."""

    tasks: dict[str, dict[str, PreferencePair]] = field(default_factory=dict)

    def add(self, groups: Iterable[Group]) -> int:
        """Returns how many were new."""
        fresh = 0
        for group in groups:
            own = self.tasks.setdefault(group.task.key, {})
            found = {name: pair for name, pair in pairs_of(group).items() if name not in own}
            own.update(found)
            fresh += len(found)
            for name in list(own)[:-PER_TASK]:
                del own[name]
        return fresh

    def all(self) -> list[PreferencePair]:
        return [pair for own in self.tasks.values() for pair in own.values()][-KEPT:]

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            key: {
                name: [asdict(p.prompt), list(p.better), list(p.worse), p.temperature]
                for name, p in own.items()
            }
            for key, own in self.tasks.items()
        }

    def restore(self, state: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
        self.tasks = {
            key: {
                name: PreferencePair(read_prompt(prompt), tuple(better), tuple(worse), heat)
                for name, (prompt, better, worse, heat) in own.items()
            }
            for key, own in state.items()
        }


def pick(pairs: Sequence[PreferencePair], count: int, rng: random.Random) -> list[PreferencePair]:
    """Some of them, those of one prompt beside each other: it is encoded once in a pass."""
    return sorted(rng.sample(list(pairs), min(count, len(pairs))), key=lambda one: one.prompt.left)


# -- the loss --------------------------------------------------------------------------------------


def masks(
    family: Family, pairs: Sequence[PreferencePair], generator: torch.Generator, draws: int = DRAWS
) -> list[list[Noise]]:
    """Draws for each completion, in the order that `bounds` reads: better, worse, better, ..."""
    return [
        [draw("count", scored(family, ids), generator) for _ in range(draws)]
        for pair in pairs
        for ids in pair.sides
    ]


def bounds(
    model: Transformer,
    pairs: Sequence[PreferencePair],
    noises: Sequence[Sequence[Noise]],
    family: Family | None = None,
) -> Tensor:
    """E [N, 2] (nats): the mean over each completion's draws."""
    sides = [(pair, ids) for pair in pairs for ids in pair.sides]
    asked = [
        (pair, ids, noise)
        for (pair, ids), several in zip(sides, noises, strict=True)
        for noise in several
    ]
    l_MC = noised_logps(
        model,
        [(pair.prompt, ids) for pair, ids, _ in asked],
        [noise for *_, noise in asked],
        [pair.temperature for pair, *_ in asked],
        family=family,
    )
    return l_MC.sum(-1).view(len(pairs), 2, -1).mean(-1)


def preference(policy_N2: Tensor, reference_N2: Tensor, beta: float) -> Tensor:
    """The loss of each pair [N], from the bounds of both. log 2 where they are the same."""
    better, worse = (policy_N2 - reference_N2).unbind(-1)
    return -F.logsigmoid(beta * (better - worse))


def measured(policy_N2: Tensor, reference_N2: Tensor) -> dict[str, float]:
    """Sums over pairs, against the reference (nats): how far `better` rose, how far `worse`, how
    far apart they moved, and how many moved apart rather than together."""
    moved = (policy_N2 - reference_N2).detach()
    apart = moved[:, 0] - moved[:, 1]
    better, worse = moved.sum(0).tolist()
    return {
        "better": better,
        "worse": worse,
        "margin": float(apart.sum()),
        "agreed": float((apart > 0).sum()),
    }


def referred(
    model: Transformer,
    reference: Average,
    pairs: Sequence[PreferencePair],
    noises: Sequence[Sequence[Noise]],
) -> tuple[Tensor, Tensor]:
    """`bounds` by the policy, with gradients, and by the reference, under the same masks."""
    with reference.applied(), torch.no_grad():  # it borrows the parameters: before the gradient
        theirs = bounds(model, pairs, noises)
    return bounds(model, pairs, noises), theirs
