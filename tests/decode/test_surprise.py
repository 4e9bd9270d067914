"""Surprise at visible tokens: what one encoding says, and what holes pay for it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from bench.surprise import (
    FAR,
    doubt,
    encode_with_surprise,
    highest,
    surprise_costs,
    surprise_of,
)
from diffufix.decode.layout import context_ids
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import ModelConfig, Transformer

VOCABULARY = 16
FAMILY = Family("tiny", False, "aside", "none", 1, 0, 2, 3, 4, 5, 6, 7, 8)
IDS = (9, 10, 11, 12, 13, 12, 11)


def tiny(seed: int = 0) -> Transformer:
    model = Transformer(ModelConfig(VOCABULARY, 16, 32, 2, 2, 1))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return model


def test_surprise_is_the_likelihood_of_what_is_seen_and_the_cache_is_encodes() -> None:
    model = tiny().eval().requires_grad_(False)
    cache, surprises = encode_with_surprise(model, IDS, FAMILY)
    shown = torch.tensor([context_ids(FAMILY, IDS)])
    expected = -model(shown)[0].log_softmax(-1)[range(1, 8), list(IDS)]
    assert surprises == pytest.approx(expected.tolist(), abs=1e-4)
    for (k, v), (key, value) in zip(cache, model.encode(shown), strict=True):
        assert torch.equal(k, key)
        assert torch.equal(v, value)


def test_a_supervised_wrong_token_surprises() -> None:
    """The corrective objective at work, on a toy: 9 is always followed by 10, and 15 is wrong."""
    model = tiny()
    right, wrong = torch.tensor([context_ids(FAMILY, [9, 10] * 4)]), [9, 10, 9, 15, 9, 10, 9, 10]
    broken = torch.tensor([context_ids(FAMILY, wrong)])
    optim = torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(60):
        logits = model(torch.cat([right, broken]))
        loss = F.cross_entropy(logits.flatten(0, 1), right.repeat(2, 1).flatten())
        loss.backward()
        optim.step()
        optim.zero_grad()
    _, surprises = encode_with_surprise(model, wrong, FAMILY)
    assert surprises.index(max(surprises)) == 3
    assert doubt(surprises[3]) > 0.9
    assert all(doubt(each) < 0.1 for i, each in enumerate(surprises) if i != 3)
    hidden, _ = model.hidden(broken)
    assert surprise_of(model, hidden, broken)[1:-1] == pytest.approx(surprises)


def test_another_layout_has_none() -> None:
    with pytest.raises(UsageError, match="no surprise"):
        encode_with_surprise(tiny(), IDS, Family("inline", False, "inline", "none", 1, 0, 2, 3))


def test_the_highest_of_each_group() -> None:
    assert highest([0.1, 3.0, 0.5], [[0, 1], [2], []]) == [3.0, 0.5, 0.0]


@given(
    st.lists(st.floats(0, 30), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=12),
)
def test_holes_pay_for_being_unsuspicious(
    surprises: list[float], ends: list[tuple[int, int]]
) -> None:
    n = len(surprises)
    holes = [(min(a, b, n), min(max(a, b), n)) for a, b in ends]
    costs = surprise_costs(surprises, holes)
    assert min(costs) == 0.0
    assert all(0 <= cost <= FAR for cost in costs)
    wide = surprise_costs(surprises, [*holes, (0, n)])
    assert wide[-1] == 0.0, "the whole context holds its most doubtful token"


def test_an_insertion_is_judged_by_the_token_behind_it() -> None:
    surprises = [0.01, 0.01, 4.0, 0.01]
    costs = surprise_costs(surprises, [(2, 2), (1, 1), (2, 3), (4, 4)], weight=1.0, far=9.0)
    assert costs[0] == costs[2] == 0.0
    assert costs[1] == pytest.approx(math.log(doubt(4.0) / doubt(0.01)))
    assert costs[3] == 9.0
