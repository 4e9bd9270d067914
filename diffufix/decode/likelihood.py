"""Log-likelihoods of completions under masks, with gradients: what the sampler's learning side
needs of a model. They are those of the policy that sampled: at its temperature, without the ids
that it never draws.

Places without a meaning of their own are no part of what the model sees: a revealed `<delete>`
has left the hole, and padding of families without `<delete>` was never in it. So a completion has
the same likelihood however wide the batch around it is.

N completions, C places of the widest, M passes, U masks that are asked about, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffufix.decode.context import open_context
from diffufix.decode.context.views import NEVER, family_of, never
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.types import Noise, Prompt

#: A completion: its prompt and the ids of its canvas, `<delete>` (or padding) behind the others.
Item = tuple[Prompt, Sequence[int]]


def scored(family: Family, ids: Sequence[int]) -> list[bool]:
    """Which places of a completion are the policy's own: all, but for padding."""
    if family.delete is not None:
        return [True] * len(ids)
    return [token != family.pad for token in ids]


def token_logps(
    model: Transformer,
    items: Sequence[Item],
    masks: Sequence[Sequence[bool]],
    temperature: float | Sequence[float] = 1.0,
    *,
    prompt_seeds: Sequence[int | None] | None = None,
    family: Family | None = None,
) -> Tensor:
    """Log-probabilities [N, C] (nats) of each masked place's id given the places not masked.

    0 where nothing is masked. `masks` has for each item a value for each of its places (more are
    not read); `temperature` is one for all, or one of each item. Equal questions are computed
    once, and prompts that are equal encoded once. Raises UsageError for an id that the policy
    cannot draw.
    """
    known = family_of(model, family)
    heat = [temperature] * len(items) if isinstance(temperature, float | int) else temperature
    seeds = prompt_seeds or [None] * len(items)
    width = max((len(ids) for _, ids in items), default=0)
    prompts: dict[tuple[Prompt, int | None], int] = {}
    spans: dict[tuple[int, tuple[int, ...]], int] = {}  # a question and its first mask's row
    labels: list[tuple[int, int, int, float]] = []  # row of logits, id, flat place, temperature
    rows = 0
    for number, ((prompt, ids), mask, seed) in enumerate(zip(items, masks, seeds, strict=True)):
        hole, places = _noised(known, ids, mask)
        if not places:
            continue
        asked = (prompts.setdefault((prompt, seed), len(prompts)), hole)
        first = spans.setdefault(asked, rows)
        rows += len(places) if first == rows else 0
        for i, place in enumerate(places):
            labels.append((first + i, ids[place], number * width + place, heat[number]))
    if not labels:
        return torch.zeros(len(items), width, device=model.device)
    context = open_context(
        model, [prompt for prompt, _ in prompts], seeds=[seed for _, seed in prompts], family=known
    )
    logits_UV = context.logits(list(spans)).float() + never(model, known)
    logps = _gathered(logits_UV, labels)
    flat = torch.zeros(len(items) * width, dtype=logps.dtype, device=logps.device)
    where = torch.tensor([place for _, _, place, _ in labels], device=logps.device)
    return flat.index_put((where,), logps).view(len(items), width)


def _gathered(logits_UV: Tensor, labels: Sequence[tuple[int, int, int, float]]) -> Tensor:
    """The log-probability of every label."""
    device = logits_UV.device
    rows = torch.tensor([row for row, *_ in labels], device=device)
    tokens = torch.tensor([token for _, token, *_ in labels], device=device)
    heats = sorted({heat for *_, heat in labels})
    which = torch.tensor([heats.index(heat) for *_, heat in labels], device=device)
    above_HU = torch.stack([torch.logsumexp(logits_UV / heat, dim=-1) for heat in heats])
    chosen = logits_UV[rows, tokens]
    if bool((chosen <= NEVER / 2).any()):
        raise UsageError("A completion holds an id that the policy never draws.")
    return chosen / torch.tensor(heats, device=device)[which] - above_HU[which, rows]


def _noised(
    family: Family, ids: Sequence[int], mask: Sequence[bool]
) -> tuple[tuple[int, ...], list[int]]:
    """The hole that the model sees, and the places of its masks."""
    silent = family.delete if family.delete is not None else family.pad
    hole: list[int] = []
    places: list[int] = []
    for place, (token, hidden) in enumerate(zip(ids, mask, strict=False)):
        if hidden:
            hole.append(family.mask)
            places.append(place)
        elif token != silent:
            hole.append(token)
    return tuple(hole), places


def noised_logps(
    model: Transformer,
    items: Sequence[Item],
    noises: Sequence[Noise],
    temperature: float | Sequence[float] = 1.0,
    *,
    family: Family | None = None,
) -> Tensor:
    """l_i [N, C]: the weighted sum over the passes of each item's noise (`types.Noise`)."""
    heat = [temperature] * len(items) if isinstance(temperature, float | int) else temperature
    every: list[tuple[int, Item, Sequence[bool], Sequence[float], int | None]] = [
        (number, item, mask, weights, noise.prompt_seed)
        for number, (item, noise) in enumerate(zip(items, noises, strict=True))
        for mask, weights in zip(noise.masks, noise.weights, strict=True)
        if any(mask)
    ]
    width = max((len(ids) for _, ids in items), default=0)
    total = torch.zeros(len(items), width, device=model.device)
    if not every:
        return total
    logps = token_logps(
        model,
        [item for _, item, *_ in every],
        [mask for _, _, mask, *_ in every],
        [heat[number] for number, *_ in every],
        prompt_seeds=[seed for *_, seed in every],
        family=family,
    )
    weights = torch.zeros(len(every), width)
    for line, (_, _, _, values, _) in enumerate(every):
        weights[line, : len(values)] = torch.tensor(values)
    owner = torch.tensor([number for number, *_ in every], device=logps.device)
    wide = logps.new_zeros(len(every), width)
    wide[:, : logps.shape[1]] = logps
    return total.index_add(0, owner, wide * weights.to(logps.device))
