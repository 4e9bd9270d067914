"""Likelihoods under masks and their estimators: coverage, enumeration, padding, variance."""

from __future__ import annotations

import copy
import itertools
import math
import statistics
from collections.abc import Sequence
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.decode.context.views import never
from diffufix.decode.likelihood import noised_logps, scored, token_logps
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.train.rl.objectives.estimators import (
    ESTIMATORS,
    behaviour,
    behaviours,
    draw,
    draw_group,
)
from diffufix.types import Noise, Prompt
from tests.support.families import (
    ASIDE,
    DREAMON,
    FAMILIES,
    FIXED,
    FREE,
    MODEL,
    NAMES,
    PROMPTS,
    VOCABULARY,
    alone,
)
from tests.support.tiny import tiny


def completion(family: Family, length: int, deleted: int) -> tuple[int, ...]:
    ids = tuple(9 + (5 * i + length) % 5 for i in range(length))
    if family.delete is None or not deleted:
        return ids
    return (*ids[: length - deleted], *(family.delete,) * deleted)


def by_hand(
    family: Family, prompt: Prompt, ids: Sequence[int], mask: Sequence[bool], temperature: float
) -> list[float]:
    """Log-probabilities at the masked places, by the denoisers that repair uses."""
    rows = zip(ids, mask, strict=True)
    hole = [family.mask if hidden else t for t, hidden in rows if hidden or t != family.delete]
    found = [0.0] * len(ids)
    places = [i for i, hidden in enumerate(mask) if hidden]
    if places:
        logits = alone(family, prompt, tuple(hole)) + never(MODEL, family)
        logps = (logits / temperature).log_softmax(-1)
        for row, place in enumerate(places):
            found[place] = float(logps[row, ids[place]])
    return found


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_token_logps_are_the_denoisers(family: Family, data: st.DataObject) -> None:
    """Whatever else is in the batch: prompts, lengths, temperatures, equal questions."""
    items, masks, heat, wanted = [], [], [], []
    for _ in range(data.draw(st.integers(1, 6))):
        prompt = data.draw(st.sampled_from(PROMPTS))
        length = data.draw(st.integers(1, 5))
        ids = completion(family, length, data.draw(st.integers(0, length)))
        mask = data.draw(st.lists(st.booleans(), min_size=length, max_size=length))
        items.append((prompt, ids))
        masks.append(mask)
        heat.append(data.draw(st.sampled_from([0.7, 1.0, 1.3])))
        wanted.append(by_hand(family, prompt, ids, mask, heat[-1]))
    found = token_logps(MODEL, items, masks, heat, family=family)
    width = max(len(ids) for _, ids in items)
    expected = torch.tensor([[*row, *[0.0] * (width - len(row))] for row in wanted])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_padding_is_never_scored_and_changes_nothing() -> None:
    assert FIXED.pad is not None
    assert ASIDE.delete is not None
    ids, padded = (9, 10, 11), (9, 10, 11, FIXED.pad, FIXED.pad)
    assert scored(FIXED, padded) == [True, True, True, False, False]
    assert scored(ASIDE, (9, ASIDE.delete, ASIDE.delete)) == [True] * 3
    for name in ESTIMATORS:
        one = draw(name, [True] * 3, torch.Generator().manual_seed(3))
        wide = Noise(
            tuple((*m, False, False) for m in one.masks),
            tuple((*w, 0.0, 0.0) for w in one.weights),
            one.prompt_seed,
        )
        assert draw(name, scored(FIXED, padded), torch.Generator().manual_seed(3)).masks[0][3:] == (
            False,
            False,
        )
        short = behaviour(MODEL, PROMPTS[0], ids, [one], family=FIXED)[0]
        long = behaviour(MODEL, PROMPTS[0], padded, [wide], family=FIXED)[0]
        assert long[:3] == pytest.approx(short, abs=1e-5)
        assert long[3:] == (0.0, 0.0)


def test_ids_that_are_never_drawn_have_no_likelihood() -> None:
    assert ASIDE.expand is not None
    for token in (ASIDE.mask, ASIDE.expand, ASIDE.now):
        with pytest.raises(UsageError):
            token_logps(MODEL, [(PROMPTS[0], (9, token or 0))], [[True, True]], family=ASIDE)


def test_the_prompt_is_hidden_by_the_seed_alone() -> None:
    prompt = Prompt(tuple([9, 10, 11] * 6), tuple([12, 13] * 6), (), 2)
    full = Noise(((True, True),), ((1.0, 1.0),))
    hidden = [Noise(full.masks, full.weights, seed) for seed in (1, 1, 2)]
    for family in (FIXED, ASIDE):
        plain, first, again, other = (
            behaviour(MODEL, prompt, (9, 10), [noise], family=family)[0]
            for noise in (full, *hidden)
        )
        assert first == again
        assert first != plain != other != first
    group = draw_group("d1", [[True] * 2] * 3, 2, torch.Generator().manual_seed(0))
    assert len({one[0].prompt_seed for one in group}) == 1
    assert group[0][0].prompt_seed != group[0][1].prompt_seed


def test_gradients_flow_to_all_that_was_used() -> None:
    for family in (DREAMON, ASIDE):
        model = tiny(VOCABULARY, 3, 0.5).requires_grad_(True)
        noises = [draw("coupled", [True] * 3, torch.Generator().manual_seed(i)) for i in range(4)]
        items = [(prompt, (9, 10, 11)) for prompt in PROMPTS]
        noised_logps(model, items, noises, family=family).sum().backward()
        for name, parameter in model.named_parameters():
            grad = parameter.grad
            assert grad is not None, name
            assert bool(grad.isfinite().all()), name
            # a bias of the keys moves all scores of a query alike, but for the rotation
            assert bool((grad != 0).any()), name


def test_many_behaviours_are_those_of_each_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    items = []
    for index, prompt in enumerate(PROMPTS * 2):
        ids = completion(ASIDE, 2 + index % 3, index % 2)
        noises = [draw("coupled", [True] * len(ids), generator) for _ in range(1 + index % 2)]
        items.append(((prompt, ids), noises))
    model = copy.deepcopy(MODEL).double()  # float32 sums differ with the rows beside them
    together = behaviours(model, items, 0.8, family=ASIDE, together=3)
    for (item, noises), found in zip(items, together, strict=True):
        one = behaviour(model, *item, noises, 0.8, family=ASIDE)
        assert len(found) == len(noises)
        for a, b in zip(found, one, strict=True):
            assert a == pytest.approx(b, abs=1e-9)
    assert behaviours(MODEL, [], family=ASIDE) == []


# -- the estimators --------------------------------------------------------------------------------


@given(
    own=st.lists(st.booleans(), min_size=1, max_size=12),
    seed=st.integers(0, 2**31),
    name=st.sampled_from(list(ESTIMATORS)),
)
@settings(max_examples=200, deadline=None)
def test_masks_cover_what_they_should(own: list[bool], seed: int, name: str) -> None:
    one = draw(name, own, torch.Generator().manual_seed(seed))
    assert one == draw(name, own, torch.Generator().manual_seed(seed))
    for mask, weights in zip(one.masks, one.weights, strict=True):
        assert all(s or not m for s, m in zip(own, mask, strict=True)), "only what is scored"
        assert all((w > 0) == m for w, m in zip(weights, mask, strict=True))
    if name in ("coupled", "decoupled", "full", "d1"):
        assert list(one.masks[0]) == own
    if name in ("coupled", "count"):
        pair = zip(*one.masks[-2:], own, strict=True)
        assert all(a + b == s for a, b, s in pair), "each place in exactly one of the two"
    assert (one.prompt_seed is None) == (name != "d1")


@pytest.mark.parametrize("name", ["coupled", "decoupled"])
def test_weights_are_the_papers(name: str) -> None:
    one = draw(name, [True] * 40, torch.Generator().manual_seed(4))
    values = [sorted(set(weights) - {0.0}) for weights in one.weights]
    assert values[0] == [0.5]
    (first,), (second,) = values[1:]
    t = 0.5 / first
    assert 0.2 <= t <= 0.8
    assert second == pytest.approx(0.5 / (1 - t))


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(UsageError, match="best"):
        draw("best", [True])


@cache
def conditional(
    family: Family, prompt: Prompt, ids: tuple[int, ...], mask: tuple[bool, ...]
) -> tuple[float, ...]:
    return tuple(by_hand(family, prompt, ids, mask, 1.0))


def bound(family: Family, prompt: Prompt, ids: tuple[int, ...]) -> float:
    """The evidence lower bound: the mean over all orders of the log-probability in that order."""
    L = len(ids)
    total = 0.0
    for order in itertools.permutations(range(L)):
        hidden = [True] * L
        for place in order:
            total += conditional(family, prompt, ids, tuple(hidden))[place]
            hidden[place] = False
    return total / math.factorial(L)


@pytest.mark.parametrize("family", [FIXED, FREE, ASIDE], ids=["dream", "free", "mini"])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 6])
def test_count_coupled_estimates_are_unbiased_for_the_bound(family: Family, length: int) -> None:
    """Every draw that there is, weighed by its chance, against every order that there is."""
    ids = completion(family, length, length // 3)
    prompt = PROMPTS[0]
    total = 0.0
    for chosen in itertools.product([False, True], repeat=length):
        k = sum(chosen)
        chance = 1 / (length + 1) / math.comb(length, k)
        other = tuple(not c for c in chosen)
        value = sum(
            (length + 1) / (2 * size) * sum(conditional(family, prompt, ids, mask))
            for mask, size in ((chosen, k), (other, length - k))
            if size
        )
        total += chance * value
    assert total == pytest.approx(bound(family, prompt, ids), rel=1e-4)


@pytest.mark.parametrize("name", ["count", "coupled"])
def test_draws_have_the_mean_that_they_should(name: str) -> None:
    """`count` the bound; `coupled` half of full and of E over t, S and its complement."""
    family, prompt, ids = ASIDE, PROMPTS[0], completion(ASIDE, 4, 1)
    generator = torch.Generator().manual_seed(8)
    values = [estimate(draw(name, [True] * 4, generator), family, prompt, ids) for _ in range(6000)]
    if name == "count":
        wanted = bound(family, prompt, ids)
    else:
        wanted = sum(conditional(family, prompt, ids, (True,) * 4)) / 2
        ts = [0.2 + 0.6 * (i + 0.5) / 40 for i in range(40)]
        for mask in itertools.product([False, True], repeat=4):
            k = sum(mask)
            logp = sum(conditional(family, prompt, ids, mask))
            # S with t and its complement with 1 - t are the same draw, seen from both sides
            wanted += statistics.mean(t ** (k - 1) * (1 - t) ** (4 - k) for t in ts) * logp
    error = statistics.stdev(values) / math.sqrt(len(values))
    assert statistics.mean(values) == pytest.approx(wanted, abs=4.5 * error + 1e-3)


def estimate(one: Noise, family: Family, prompt: Prompt, ids: tuple[int, ...]) -> float:
    return sum(
        w * logp
        for mask, weights in zip(one.masks, one.weights, strict=True)
        for w, logp in zip(weights, conditional(family, prompt, ids, mask), strict=True)
    )


def test_variance_of_the_estimators_is_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A toy of 64 tokens, each the likelier the more is seen, at the cost of two passes. With t
    over its whole range all four estimate the same; independent shares are worst, then independent
    counts, then coupled shares, then coupled counts."""
    monkeypatch.setattr("diffufix.train.rl.objectives.estimators.LOW", 0.01)
    monkeypatch.setattr("diffufix.train.rl.objectives.estimators.HIGH", 0.99)
    L = 64
    own = torch.rand(L, generator=torch.Generator().manual_seed(0)).tolist()

    def value(masks: Sequence[Sequence[bool]], weights: Sequence[Sequence[float]]) -> float:
        total = 0.0
        for mask, row in zip(masks, weights, strict=True):
            hidden = sum(mask) / L
            total -= sum(w * (0.5 + 3 * own[i] * hidden) for i, w in enumerate(row) if mask[i])
        return total

    def shares(generator: torch.Generator) -> float:
        pair = [draw("decoupled", [True] * L, generator) for _ in range(2)]
        return value([one.masks[1] for one in pair], [one.weights[1] for one in pair])

    def counts(generator: torch.Generator) -> float:
        total = 0.0
        for _ in range(2):
            k = int(torch.randint(1, L + 1, (), generator=generator))
            chosen = set(torch.randperm(L, generator=generator)[:k].tolist())
            mask = [i in chosen for i in range(L)]
            total += value([mask], [[L / (2 * k) * m for m in mask]])
        return total

    def coupled_shares(generator: torch.Generator) -> float:
        one = draw("coupled", [True] * L, generator)
        return value(one.masks[1:], one.weights[1:])

    def coupled_counts(generator: torch.Generator) -> float:
        one = draw("count", [True] * L, generator)
        return value(one.masks, one.weights)

    means, variances = [], []
    for estimator in (shares, counts, coupled_shares, coupled_counts):
        generator = torch.Generator().manual_seed(1)
        values = [estimator(generator) for _ in range(1500)]
        means.append(statistics.mean(values))
        variances.append(statistics.variance(values))
    assert max(means) - min(means) < 0.03 * abs(means[-1]), means
    assert variances == sorted(variances, reverse=True), variances
    assert variances[0] > 1.1 * variances[1] > 10 * variances[2] > 20 * variances[3], variances
