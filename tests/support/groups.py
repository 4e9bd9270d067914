"""Groups of completions for tests of what learns: sampled, scored, rewarded by their ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from diffufix.decode.context.views import family_of
from diffufix.decode.likelihood import scored
from diffufix.decode.rollout import Sampling, rollout
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.train.rl.objectives.estimators import behaviours, draw_group
from diffufix.types import Completion, Group, Prompt, Task

Reward = Callable[[Prompt, tuple[int, ...]], float | None]


def task(key: str = "t") -> Task:
    return Task(key, "m.py", "f", "def f(): pass\n", 9, 13, "statement", "mutant", ("test_f",))


def prompts(count: int, width: int = 4, first: int = 9, top: int = 30) -> list[Prompt]:
    """Different prompts; every third one has a gap, every fourth is an insertion."""
    found = []
    for index in range(count):
        ids = [first + (7 * index + 3 * i) % (top - first) for i in range(10 + index % 3)]
        gap, insertion = index % 3 == 2, index % 4 == 3
        original = () if gap or insertion else tuple(ids[4:6])
        found.append(Prompt(tuple(ids[:4]), tuple(ids[6:]), original, width, gap=gap))
    return found


def make_groups(
    model: Transformer,
    prompts: Sequence[Prompt],
    reward: Reward,
    *,
    n: int = 6,
    estimator: str = "coupled",
    inner: int = 2,
    seed: int = 0,
    temperature: float = 1.0,
    family: Family | None = None,
    version: str = "v0",
) -> list[Group]:
    known = family_of(model, family)
    generator = torch.Generator().manual_seed(seed)
    sampling = Sampling(temperature)
    sampled = rollout(model, prompts, n, sampling, generator, family=known)
    groups = []
    for number, (prompt, several) in enumerate(zip(prompts, sampled, strict=True)):
        own = [scored(known, one.ids) for one in several]
        noises = [tuple(draws) for draws in draw_group(estimator, own, inner, generator)]
        items = [((prompt, one.ids), noise) for one, noise in zip(several, noises, strict=True)]
        old = behaviours(model, items, temperature, family=known)
        completions = tuple(
            Completion(
                one.ids,
                "",
                "pass",
                reward(prompt, one.ids),
                noise=noise,
                behaviour=logps,
                order=one.order,
            )
            for one, noise, logps in zip(several, noises, old, strict=True)
        )
        settings = {"temperature": temperature}
        groups.append(
            Group(task(str(number)), prompt, completions, version, estimator, sampling=settings)
        )
    return groups
