"""`remask`: fills whose tokens may be taken back (ReMDM, Wang et al. 2025, arXiv 2503.00307).

Time runs from 1 to 0 in `steps`; a token is there at time t with probability a(t) = 1 - t. From t
to s a committed token is masked again with probability sigma, and a mask is filled with probability

    (a(s) - (1 - sigma) a(t)) / (1 - a(t)),

so that a(t) holds at every step whatever sigma is; sigma = 0 is the reference's `origin`. Sigma is
at most (1 - a(s)) / a(t), and never more than 1:
- `cap`: no more than `eta`;
- `rescale`: `eta` times the most that it may be;
- `conf`: that, shared out among the committed tokens by softmax(-p), where p is the probability
  that each had when it was committed; masks then have sigma = 0.
With a model that knows the data, and many steps, the distribution of the fills does not depend on
sigma. With others a token that was wrong can be put right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import torch

from diffufix.decode.context import Context, open_context
from diffufix.decode.tokens import Shortlist, uniform
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.types import Canvas, Fill

RemaskRule = Literal["cap", "rescale", "conf"]


def sigma_of(rule: RemaskRule, eta: float, t: float, s: float) -> float:
    """The probability that a committed token is masked again from t to s (for `conf`, before it is
    shared out)."""
    most = 1.0 if t >= 1 else min(1.0, s / (1 - t))
    return min(eta, most) if rule == "cap" else eta * most


@torch.no_grad()
def remask(
    model: Transformer | None,
    canvas: Canvas,
    n: int,
    *,
    length: int,
    steps: int = 32,
    rule: RemaskRule = "cap",
    eta: float = 0.05,
    temperature: float = 1.0,
    top_p: float | None = None,
    protected: Mapping[int, int] | None = None,
    generator: torch.Generator | None = None,
    family: Family | None = None,
    context: Context | None = None,
    refresh: int | None = None,
    states: list[list[tuple[int, ...]]] | None = None,
) -> list[Fill]:
    """`n` fills of `length` tokens, in the order of the batch.

    `protected` are places of the hole and their ids: they are there from the start and stay.
    `states` is given the holes after each step. In a fill, `logps` and `order` are those of each
    token's last commit (-1 where it was protected). Families whose holes change their length are
    filled without that. Raises UsageError.
    """
    fixed = dict(protected or {})
    if min(n, length, steps) < 1 or not 0 <= eta <= 1 or rule not in get_args(RemaskRule):
        raise UsageError("n, length and steps are 1 or more, eta is within 0 and 1, rule is known.")
    if not all(0 <= place < length for place in fixed):
        raise UsageError(f"Protected places lie within the hole, 0 to {length - 1}.")
    if context is None:
        if model is None:
            raise UsageError("remask needs a model or a context.")
        context = open_context(model, [canvas], family=family, refresh=refresh)
    mask = context.family.mask
    lengthening = [i for i in (context.family.expand, context.family.delete) if i is not None]
    banned = sorted({*context.banned, *lengthening})
    ids = [[fixed.get(place, mask) for place in range(length)] for _ in range(n)]
    logps, order = [[0.0] * length for _ in ids], [[-1] * length for _ in ids]
    commits = [0] * n
    passes = 0
    cpu = torch.device("cpu")
    for step in range(steps):
        t, s = 1 - step / steps, 1 - (step + 1) / steps
        sigma = sigma_of(rule, eta, t, s)
        lots = uniform(n * length, cpu, generator).view(n, length).tolist()
        shown = 0.0 if rule == "conf" else sigma
        reveal = ((1 - s) - (1 - shown) * (1 - t)) / t
        wanted: list[tuple[int, int]] = []
        again: list[tuple[int, int]] = []
        for row, hole in enumerate(ids):
            free = [p for p in range(length) if p not in fixed and hole[p] != mask]
            weight = _shares(rule, [math.exp(logps[row][p]) for p in free])
            again += [(row, p) for p, w in zip(free, weight, strict=True)
                      if lots[row][p] < min(1.0, w * sigma)]  # fmt: skip
            wanted += [(row, p) for p, token in enumerate(hole)
                       if token == mask and lots[row][p] < reveal]  # fmt: skip
        if wanted:
            passes += 1
            _commit(context, banned, ids, wanted, logps, order, commits, temperature, top_p,
                    generator)  # fmt: skip
        for row, place in again:
            ids[row][place] = mask
        if states is not None:
            states.append([tuple(hole) for hole in ids])
    return [
        Fill(tuple(hole), tuple(own), tuple(placed), sum(own), passes)
        for hole, own, placed in zip(ids, logps, order, strict=True)
    ]


def _shares(rule: RemaskRule, probabilities: list[float]) -> list[float]:
    """What of sigma each committed token gets."""
    if rule != "conf" or not probabilities:
        return [1.0] * len(probabilities)
    odds = [math.exp(-p) for p in probabilities]
    return [each / sum(odds) for each in odds]


def _commit(
    context: Context, banned: list[int], ids: list[list[int]], wanted: list[tuple[int, int]],
    logps: list[list[float]], order: list[list[int]], commits: list[int], temperature: float,
    top_p: float | None, generator: torch.Generator | None,
) -> None:  # fmt: skip
    """Draw an id for each of these masks, all given the holes as they are."""
    mask = context.family.mask
    holes = [tuple(ids[row]) for row in sorted({row for row, _ in wanted})]
    distinct = list(dict.fromkeys(holes))
    logits_NV = context.logits([(0, hole) for hole in distinct]).float()
    logits_NV[:, banned] = -torch.inf
    lines, at = {}, 0
    for hole in distinct:
        for place, token in enumerate(hole):
            if token == mask:
                lines[hole, place] = at
                at += 1
    rows = [lines[tuple(ids[row]), place] for row, place in wanted]
    short = Shortlist(logits_NV, temperature=temperature, top_p=top_p)
    drawn, _ = short.draw(rows, generator)
    chosen = logits_NV[torch.tensor(rows, device=logits_NV.device)]
    known = chosen.gather(-1, drawn[:, None])[:, 0] - chosen.logsumexp(-1)
    for (row, place), token, logp in zip(wanted, drawn.tolist(), known.tolist(), strict=True):
        ids[row][place], logps[row][place] = token, logp
        order[row][place] = commits[row]
        commits[row] += 1
