"""`remask` against what the paper's posterior says, by enumeration and counting."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from math import sqrt

import pytest
import torch
from torch import Tensor

from diffufix.decode import remask
from diffufix.decode.remasking import sigma_of
from diffufix.decode.types import Asked
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.types import Canvas
from tests.support.tiny import tiny

MASK, EOS = 0, 2
FAMILY = Family("other", False, "inline", "none", MASK, 1, eos=EOS)
CANVAS = Canvas(left=(5, 6), right=(7,))
JOINT = torch.tensor([[0.30, 0.05, 0.15], [0.02, 0.38, 0.10]])  # of two places: ids 3-4, 3-5


class Knows:
    """A `Context` whose model knows the data: two places with the distribution JOINT."""

    family, vocab_size = FAMILY, 6
    banned: tuple[int, ...] = (0, 1, 2)

    def logits(self, holes: Sequence[Asked]) -> Tensor:
        rows = []
        for _, (first, second) in holes:
            if first == MASK:
                row = JOINT.sum(1) if second == MASK else JOINT[:, second - 3]
                rows.append([0.0, 0, 0, *row.tolist(), 0.0])
            if second == MASK:
                row = JOINT.sum(0) if first == MASK else JOINT[first - 3]
                rows.append([0.0, 0, 0, *row.tolist()])
        probs = torch.tensor(rows)
        return (probs / probs.sum(-1, keepdim=True)).log()


@pytest.mark.parametrize(("rule", "eta"), [("cap", 0.0), ("cap", 0.2), ("rescale", 0.7)])
def test_a_token_is_there_with_the_schedules_probability(rule, eta) -> None:
    states: list[list[tuple[int, ...]]] = []
    steps, n = 8, 1000
    generator = torch.Generator().manual_seed(0)
    remask(None, CANVAS, n, length=2, steps=steps, rule=rule, eta=eta, context=Knows(),
           generator=generator, states=states)  # fmt: skip
    for step, holes in enumerate(states, start=1):
        share, wanted = sum(t == MASK for h in holes for t in h) / (2 * n), 1 - step / steps
        assert abs(share - wanted) <= 5 * sqrt(wanted * (1 - wanted) / (2 * n))


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_fills_are_those_of_the_data(eta: float) -> None:
    """One place a step mostly: with many steps two places seldom come together."""
    n = 1500
    generator = torch.Generator().manual_seed(1)
    fills = remask(None, CANVAS, n, length=2, steps=40, rule="rescale", eta=eta / 10,
                   context=Knows(), generator=generator)  # fmt: skip
    counts = Counter(fill.ids for fill in fills)
    for first, second in itertools.product(range(2), range(3)):
        p = float(JOINT[first, second])
        assert abs(counts[first + 3, second + 3] / n - p) < 5 * sqrt(p * (1 - p) / n) + 0.01


def test_without_sigma_nothing_is_taken_back_and_with_it_something_is() -> None:
    model = tiny(8)
    for eta, taken in ((0.0, False), (0.5, True)):
        states: list[list[tuple[int, ...]]] = []
        fills = remask(model, CANVAS, 4, length=5, steps=10, eta=eta, family=FAMILY,
                       generator=torch.Generator().manual_seed(0), states=states)  # fmt: skip
        back = any(
            a != MASK and b == MASK
            for before, after in itertools.pairwise(states)
            for one, two in zip(before, after, strict=True)
            for a, b in zip(one, two, strict=True)
        )
        assert back is taken
        assert all(MASK not in fill.ids and EOS not in fill.ids for fill in fills)


def test_the_unsure_are_taken_back_and_the_protected_stay() -> None:
    states: list[list[tuple[int, ...]]] = []
    fills = remask(tiny(8), CANVAS, 6, length=5, steps=12, rule="conf", eta=1.0, family=FAMILY,
                   protected={1: 4, 3: 6}, generator=torch.Generator().manual_seed(2),
                   states=states)  # fmt: skip
    assert all((hole[1], hole[3]) == (4, 6) for holes in states for hole in holes)
    assert all(fill.order[1] == fill.order[3] == -1 for fill in fills)
    assert all(fill.logps[1] == 0.0 for fill in fills)


def test_sigma_is_never_more_than_it_may_be() -> None:
    for step in range(10):
        t, s = 1 - step / 10, 1 - (step + 1) / 10
        for rule in ("cap", "rescale"):
            sigma = sigma_of(rule, 1.0, t, s)
            assert 0 <= ((1 - s) - (1 - sigma) * (1 - t)) / t <= 1 + 1e-9
    assert sigma_of("cap", 0.05, 0.5, 0.4) == 0.05
    assert sigma_of("rescale", 0.5, 0.5, 0.4) == pytest.approx(0.4)
    assert sigma_of("cap", 1.0, 0.1, 0.0) == 0.0


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="within the hole"):
        remask(tiny(8), CANVAS, 1, length=2, protected={2: 4}, family=FAMILY)
    with pytest.raises(UsageError, match="eta"):
        remask(tiny(8), CANVAS, 1, length=2, eta=2.0, family=FAMILY)
