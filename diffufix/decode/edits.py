"""Prices of holes by the model's own view of where a fix edits (model/editing.py). Ids, no text.

Of the tokens of an encoded function the head gives p(edit), of the places between them p(insert).
A hole is as likely as that all edits lie inside of it and at least one does: with the tokens taken
as independent,

    log(1 - prod inside (1 - p)) + sum outside log(1 - p).

Coarse holes win by that alone where several tokens change; what else they cost, the search knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from diffufix.model.editing import INSERT, KEEP
from diffufix.model.transformer import Transformer

WEIGHT = 0.5  # nats that a hole starts behind with per nat that it is less likely than the best
FAR = 6.0  # and at most
LIKELY = 1e-3  # an insertion between two tokens is asked about where its probability is that high
MOST = 24  # such insertions of one window


@torch.inference_mode()
def operations_of(model: Transformer, hidden_TD: Tensor) -> list[tuple[float, float]] | None:
    """Of each token p(anything but KEEP) and p(INSERT); None without a head that says so."""
    if model.edit is None:
        return None
    p_T4 = model.edit(hidden_TD).float().softmax(-1)
    return list(zip((1 - p_T4[:, KEEP]).tolist(), p_T4[:, INSERT].tolist(), strict=True))


def edit_costs(
    edits: Sequence[tuple[float, float]],
    holes: Sequence[tuple[int, int]],
    weight: float = WEIGHT,
    far: float = FAR,
) -> list[float]:
    """Nats that each hole [start, end) starts behind with: none for the likeliest one, `far` at
    most. `edits` are those of the window's tokens and of the token behind them; an insertion
    (start == end) has the inserting share of the token behind it."""
    kept = [0.0, *accumulate(math.log1p(-min(p, 1 - 1e-6)) for p, _ in edits)]
    scores = []
    for start, end in holes:
        if start < end:
            inside = kept[end] - kept[start]
            found = math.log(max(-math.expm1(inside), 1e-9))
        else:
            inside = kept[min(start + 1, len(edits))] - kept[start]
            found = math.log(max(edits[min(start, len(edits) - 1)][1], 1e-9))
        scores.append(found + kept[-1] - inside)
    top = max(scores, default=0.0)
    return [min(far, weight * (top - score)) for score in scores]


def insertions(edits: Sequence[tuple[float, float]], least: float = LIKELY) -> list[int]:
    """The tokens in front of which something is missing, the likeliest first, MOST at most."""
    order = sorted(range(len(edits)), key=lambda i: -edits[i][1])
    return [i for i in order[:MOST] if edits[i][1] >= least]
