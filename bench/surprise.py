"""Surprise: what a model thinks of tokens that it can see. Ids only, no text.

Training that supervises visible wrong tokens (corrective diffusion, arXiv 2512.15596) makes the
model's confidence in them mean something: where p(the token that stands there) is low, it may be
wrong. One encoding of the context gives it for every token, at the price of one look at the
vocabulary for each. Models without such training are not to be believed here.

C tokens of the context as encoded, D width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from diffufix.decode.context.views import family_of
from diffufix.decode.layout import context_ids
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Cache, Transformer

WEIGHT = 0.5  # nats that a hole starts behind with per e-fold of its doubt below the highest
FAR = 3.0  # and at most


@torch.inference_mode()
def encode_with_surprise(
    model: Transformer, ids: Sequence[int], family: Family | None = None
) -> tuple[Cache, list[float]]:
    """Keys and values of a context in the aside layout, and -log p (nats) of each of its `ids`.

    The keys and values are those of `Transformer.encode` for the same context. Raises UsageError
    for a model of another layout.
    """
    known = family_of(model, family)
    if not known.appended:
        raise UsageError(f"{known.name} has no surprise: it sees no context on its own.")
    shown = torch.tensor([context_ids(known, ids)], device=model.device)
    hidden_1CD, cache = model.hidden(shown)
    return cache, surprise_of(model, hidden_1CD, shown)[1:-1]


@torch.inference_mode()
def surprise_of(model: Transformer, hidden_1CD: Tensor, shown_1C: Tensor) -> list[float]:
    """-log p (nats) of each token [1, C] by the last hidden states of the encoding itself."""
    logps_CV = model.lm_head(hidden_1CD[0]).float().log_softmax(-1)
    return (-logps_CV.gather(1, shown_1C[0][:, None])[:, 0]).tolist()


def doubt(surprise: float) -> float:
    """The probability, by the model, that something else belongs there: 1 - p(token)."""
    return -math.expm1(-max(surprise, 0.0))


def highest(surprises: Sequence[float], groups: Iterable[Iterable[int]]) -> list[float]:
    """For groups of tokens (of a line, a statement, a hole) the highest surprise in each; 0 where
    a group is empty."""
    return [max((surprises[i] for i in group), default=0.0) for group in groups]


def surprise_costs(
    surprises: Sequence[float],
    holes: Sequence[tuple[int, int]],
    weight: float = WEIGHT,
    far: float = FAR,
) -> list[float]:
    """Nats that each hole [start, end) of a context starts behind with: none for the hole with
    the most doubtful token, `weight` per e-fold of doubt less than that, at most `far`.

    An insertion (start == end) is judged by the token behind it, which training labels `expand`
    where something is missing.
    """
    groups = [range(a, max(b, min(a + 1, len(surprises)))) for a, b in holes]
    doubts = [max(doubt(each), 1e-9) for each in highest(surprises, groups)]
    top = max(doubts, default=1.0)
    return [min(far, weight * math.log(top / each)) for each in doubts]
