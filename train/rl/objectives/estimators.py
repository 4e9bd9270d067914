"""Estimators of a completion's log-likelihood: which places are masked, and what each pass weighs.

A masked diffusion model gives no likelihood in closed form. Each estimator draws masks S of the L
scored places and weighs log p(y_i | y without S), i in S; a place's estimate l_i is the sum over
the passes, the sequence's E the sum over the places.

full        everything is masked once; weight 1
d1          the same, with a share of the prompt hidden (diffu-GRPO, arXiv 2504.12216)
coupled     full, S and its complement, each place in S with probability t, t ~ U(0.2, 0.8):
            l_i = 1/2 [full + (1/t in S, 1/(1 - t) outside)] (coupled-GRPO, arXiv 2506.20639)
decoupled   as coupled, but the third mask is drawn independently of the second
count       k ~ U{0..L}, |S| = k: S weighs (L + 1) / 2k, its complement (L + 1) / 2(L - k): every
            place is scored exactly once, and E is unbiased for the evidence lower bound

Draws are values, not random states: they are stored with the completion, and the sampling, the
current and the reference policy are all scored under the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from diffufix.decode.likelihood import Item, noised_logps
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.types import Noise, Prompt

LOW, HIGH = 0.2, 0.8  # of t

Mask = tuple[bool, ...]


def draw(name: str, scored: Sequence[bool], generator: torch.Generator | None = None) -> Noise:
    """One draw for a completion whose own places are `scored` (likelihood.scored).

    Raises UsageError for an unknown name.
    """
    if name not in ESTIMATORS:
        raise UsageError(f"Unknown estimator {name!r}.", f"One of {', '.join(ESTIMATORS)}.")
    return ESTIMATORS[name](tuple(scored), generator)


def draw_group(
    name: str,
    scored: Sequence[Sequence[bool]],
    inner: int,
    generator: torch.Generator | None = None,
) -> list[tuple[Noise, ...]]:
    """`inner` draws for every completion of a group. What is hidden of the prompt is the same for
    all of them, so that it is encoded once."""
    draws = [tuple(draw(name, one, generator) for _ in range(inner)) for one in scored]
    seeds = [one.prompt_seed for one in draws[0]] if draws else []
    return [
        tuple(replace(one, prompt_seed=seed) for one, seed in zip(row, seeds, strict=True))
        for row in draws
    ]


def behaviour(
    model: Transformer,
    prompt: Prompt,
    ids: Sequence[int],
    noises: Sequence[Noise],
    temperature: float = 1.0,
    *,
    family: Family | None = None,
) -> tuple[tuple[float, ...], ...]:
    """l_i of every place under each of the noises, as `Completion.behaviour` keeps them."""
    return behaviours(model, [((prompt, ids), noises)], temperature, family=family)[0]


@torch.inference_mode()
def behaviours(
    model: Transformer,
    items: Sequence[tuple[Item, Sequence[Noise]]],
    temperature: float = 1.0,
    *,
    family: Family | None = None,
    together: int = 128,
) -> list[tuple[tuple[float, ...], ...]]:
    """`behaviour` of many completions, `together` of them in one pass; those of one prompt are
    best given one after another."""
    found: list[tuple[tuple[float, ...], ...]] = []
    for begin in range(0, len(items), together):
        part = items[begin : begin + together]
        flat = [(item, noise) for item, noises in part for noise in noises]
        rows = iter(
            noised_logps(
                model, [i for i, _ in flat], [n for _, n in flat], temperature, family=family
            ).tolist()
            if flat
            else []
        )
        for (_, ids), noises in part:
            found.append(tuple(tuple(next(rows)[: len(ids)]) for _ in noises))
    return found


# -- the estimators --------------------------------------------------------------------------------


def _weighted(*passes: tuple[Mask, float], prompt_seed: int | None = None) -> Noise:
    masks = tuple(mask for mask, _ in passes)
    weights = tuple(tuple(w if m else 0.0 for m in mask) for mask, w in passes)
    return Noise(masks, weights, prompt_seed)


def _full(scored: Mask, generator: torch.Generator | None) -> Noise:
    return _weighted((scored, 1.0))


def _d1(scored: Mask, generator: torch.Generator | None) -> Noise:
    seed = int(torch.randint(2**31, (), generator=generator))
    return _weighted((scored, 1.0), prompt_seed=seed)


def _coupled(scored: Mask, generator: torch.Generator | None) -> Noise:
    t = _share(generator)
    inside = _bernoulli(scored, t, generator)
    outside = tuple(s and not m for s, m in zip(scored, inside, strict=True))
    return _weighted((scored, 0.5), (inside, 0.5 / t), (outside, 0.5 / (1 - t)))


def _decoupled(scored: Mask, generator: torch.Generator | None) -> Noise:
    t = _share(generator)
    first, second = _bernoulli(scored, t, generator), _bernoulli(scored, 1 - t, generator)
    return _weighted((scored, 0.5), (first, 0.5 / t), (second, 0.5 / (1 - t)))


def _count(scored: Mask, generator: torch.Generator | None) -> Noise:
    places = [i for i, s in enumerate(scored) if s]
    L = len(places)
    k = int(torch.randint(L + 1, (), generator=generator))
    chosen = {places[i] for i in torch.randperm(L, generator=generator)[:k].tolist()}
    inside = tuple(i in chosen for i in range(len(scored)))
    outside = tuple(s and not m for s, m in zip(scored, inside, strict=True))
    return _weighted(
        (inside, (L + 1) / (2 * k) if k else 0.0),
        (outside, (L + 1) / (2 * (L - k)) if k < L else 0.0),
    )


def _share(generator: torch.Generator | None) -> float:
    return LOW + (HIGH - LOW) * float(torch.rand((), generator=generator))


def _bernoulli(scored: Mask, t: float, generator: torch.Generator | None) -> Mask:
    lots = torch.rand(len(scored), generator=generator).tolist()
    return tuple(s and lot < t for s, lot in zip(scored, lots, strict=True))


ESTIMATORS: dict[str, Callable[[Mask, torch.Generator | None], Noise]] = {
    "coupled": _coupled,
    "d1": _d1,
    "full": _full,
    "decoupled": _decoupled,
    "count": _count,
}
