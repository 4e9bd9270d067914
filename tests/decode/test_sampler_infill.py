"""The mathematics of `infill` on models small enough to enumerate."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.decode import infill, open_context
from diffufix.decode.lengths import AT_ONCE, first_confidence
from diffufix.decode.tokens import ALGORITHMS
from diffufix.decode.types import Asked
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.types import Canvas, Fill
from tests.support.tiny import tiny

MASK, PAD, EOS, EXPAND, DELETE, VOCABULARY = 0, 1, 2, 3, 4, 8
FIXED = Family("dream", True, "inline", "none", MASK, PAD, eos=EOS)
UNSHIFTED = Family("other", False, "inline", "none", MASK, PAD, eos=EOS)
FREE = Family("free", False, "inline", "none", MASK, PAD, eos=EOS, expand=EXPAND, delete=DELETE)
DREAMON = Family("dreamon", True, "inline", "none", MASK, PAD, eos=EOS, expand=EXPAND, delete=EOS)
FAMILIES = [FIXED, UNSHIFTED, FREE, DREAMON]
CANVAS = Canvas(left=(5, 6), right=(7, 5))

MODEL = tiny(VOCABULARY)


@cache
def explicit(family: Family, hole: tuple[int, ...], budget: int, canvas: Canvas = CANVAS):
    """Log-probabilities at each mask of one hole, by the plain forward of the whole canvas."""
    ids = [*canvas.left, *hole, *canvas.right]
    logits = MODEL(torch.tensor([ids]))[0]
    for banned in family.specials:
        logits[:, banned] = -torch.inf
    if family.expand is not None and budget == 0:
        logits[:, family.expand] = -torch.inf
    rows = [len(canvas.left) + i - int(family.shift) for i, t in enumerate(hole) if t == MASK]
    return logits[rows].log_softmax(-1)


def after(family: Family, hole: tuple[int, ...], place: int, token: int) -> tuple[int, ...]:
    """The hole when one mask has been committed."""
    if token == family.expand:
        return (*hole[:place], MASK, MASK, *hole[place + 1 :])
    if token == family.delete:
        tail = hole[place + 1 :]
        if family.delete == family.eos:
            tail = tuple(t for t in tail if t != MASK)
        return (*hole[:place], *tail)
    return (*hole[:place], token, *hole[place + 1 :])


def enumerate_chain(family: Family, hole: tuple[int, ...], budget: int, alg: str, temperature=1.0):
    """The exact distribution of fills when one mask a step is committed."""
    places = [i for i, token in enumerate(hole) if token == MASK]
    if not places:
        return {hole: 1.0}
    probs = (explicit(family, hole, budget) / temperature).softmax(-1)
    result: dict[tuple[int, ...], float] = defaultdict(float)

    def then(index: int, token: int, chance: float) -> None:
        if chance > 0:
            hole_ = after(family, hole, places[index], token)
            left = budget - (token == family.expand)
            for end, p in enumerate_chain(family, hole_, left, alg, temperature).items():
                result[end] += chance * p

    if alg == "maskgit_plus":  # the order depends on what was drawn
        for draw in itertools.product(range(VOCABULARY), repeat=len(places)):
            each = [probs[i, token].item() for i, token in enumerate(draw)]
            best = max(range(len(places)), key=lambda i: each[i])
            then(best, draw[best], math.prod(each))
    else:
        if alg == "origin":
            odds = [1 / len(places)] * len(places)
        else:
            top = probs.topk(2).values
            scores = {
                "entropy": (probs * (probs + 1e-10).log()).sum(-1),
                "topk_margin": top[:, 0] - top[:, 1],
            }[alg]
            odds = [float(i == scores.argmax()) for i in range(len(places))]
        for index, token in itertools.product(range(len(places)), range(VOCABULARY)):
            then(index, token, odds[index] * probs[index, token].item())
    return dict(result)


def distance(fills: list[Fill], exact: dict[tuple[int, ...], float]) -> float:
    """Total variation between the samples and the distribution."""
    seen = Counter(fill.ids for fill in fills)
    assert set(seen) <= set(exact)
    return sum(abs(seen[ids] / len(fills) - p) for ids, p in exact.items()) / 2


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
@pytest.mark.parametrize("masks", [1, 2])
def test_samples_follow_the_chain(family, alg, masks):
    budget = 1 if family.variable_length else 0
    exact = enumerate_chain(family, (MASK,) * masks, budget, alg)
    assert sum(exact.values()) == pytest.approx(1, abs=1e-4)
    n = 6000
    fills = infill(
        MODEL,
        CANVAS,
        n,
        lengths=[masks],
        max_tokens=masks + budget,
        temperature=1.0,
        alg=alg,
        generator=torch.Generator().manual_seed(7),
        family=family,
    )
    # Expected total variation of n draws from k outcomes is about sqrt(k / (2 pi n)).
    assert distance(fills, exact) < 2 * math.sqrt(len(exact) / (2 * math.pi * n)) + 0.005


def test_temperature_changes_the_chain():
    exact = enumerate_chain(FIXED, (MASK, MASK), 0, "entropy", temperature=0.5)
    fills = infill(
        MODEL,
        CANVAS,
        6000,
        lengths=[2],
        temperature=0.5,
        generator=torch.Generator().manual_seed(1),
        family=FIXED,
    )
    assert distance(fills, exact) < 0.06


def replay(family: Family, fill: Fill, length: int, budget: int) -> tuple[int, ...]:
    """Commit the trace again one by one, with its likelihoods from plain forward passes."""
    hole = (MASK,) * length
    for commit in fill.trace:
        places = [i for i, token in enumerate(hole) if token == MASK]
        expected = explicit(family, hole, budget)[places.index(commit.position), commit.token]
        assert commit.logp == pytest.approx(expected.item(), abs=1e-4)
        budget -= commit.token == family.expand
        assert budget >= 0
        hole = after(family, hole, commit.position, commit.token)
    return hole


@settings(max_examples=60, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    alg=st.sampled_from(ALGORITHMS),
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    temperature=st.sampled_from([0.0, 0.7, 2.0]),
    alg_temp=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1000),
)
def test_bookkeeping(family, alg, lengths, temperature, alg_temp, seed):
    """Likelihoods are those of explicit forwards, and the trace leads to the fill."""
    fills = infill(
        MODEL,
        CANVAS,
        4,
        lengths=lengths,
        max_tokens=6,
        temperature=temperature,
        alg=alg,
        alg_temp=alg_temp,
        generator=torch.Generator().manual_seed(seed),
        family=family,
    )
    for index, fill in enumerate(fills):
        length = lengths[index % len(lengths)]
        assert replay(family, fill, length, 6 - length) == fill.ids
        assert fill.steps == len(fill.trace)
        assert len(fill.ids) == len(fill.logps) == len(fill.order) <= 6
        assert not set(fill.ids) & {MASK, PAD, EOS, family.expand, family.delete}
        assert fill.logp == pytest.approx(sum(commit.logp for commit in fill.trace))
        for token, logp, order in zip(fill.ids, fill.logps, fill.order, strict=True):
            assert (fill.trace[order].token, fill.trace[order].logp) == (token, logp)
        if not family.variable_length:
            assert sorted(fill.order) == list(range(length))


@settings(max_examples=40, deadline=None)
@given(
    family=st.sampled_from([FREE, DREAMON]),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    per_step=st.integers(1, 4),
    threshold=st.sampled_from([None, 0.2, 0.9]),
    steps=st.sampled_from([None, 1, 3]),
    seed=st.integers(0, 1000),
)
def test_many_commits_a_step(family, lengths, per_step, threshold, steps, seed):
    fills = infill(
        MODEL,
        CANVAS,
        3,
        lengths=lengths,
        max_tokens=7,
        temperature=1.5,
        tokens_per_step=per_step,
        threshold=threshold,
        steps=steps,
        generator=torch.Generator().manual_seed(seed),
        family=family,
    )
    for index, fill in enumerate(fills):
        length = lengths[index % len(lengths)]
        expansions = sum(commit.token == family.expand for commit in fill.trace)
        deletions = sum(commit.token == family.delete for commit in fill.trace)
        assert expansions <= 7 - length
        if family is FREE:
            assert len(fill.ids) == length + expansions - deletions
        else:
            assert len(fill.ids) <= length + expansions - deletions
        assert not set(fill.ids) & {MASK, PAD, EOS, EXPAND} or family is FREE
        for order, token in zip(fill.order, fill.ids, strict=True):
            assert fill.trace[order].token == token
        assert fill.steps <= len(fill.trace)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("temperature", [0.0, 1e-4])
def test_cold_sampling_takes_the_most_likely_id(family, alg, temperature):
    """The order may still differ: the reference's confidences are those after temperature."""
    fills = infill(
        MODEL,
        CANVAS,
        3,
        lengths=[1, 3],
        max_tokens=5,
        temperature=temperature,
        alg=alg,
        generator=torch.Generator().manual_seed(0),
        family=family,
    )
    for fill, length in zip(fills, [1, 3, 1], strict=True):
        hole, budget = (MASK,) * length, 5 - length
        for commit in fill.trace:
            places = [i for i, token in enumerate(hole) if token == MASK]
            row = explicit(family, hole, budget)[places.index(commit.position)]
            assert commit.token == row.argmax()
            budget -= commit.token == family.expand
            hole = after(family, hole, commit.position, commit.token)
        assert hole == fill.ids
    if alg != "origin" or not family.variable_length:
        assert fills[0].ids == fills[2].ids


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_rows_do_not_touch_each_other(family):
    lengths = [1, 5, 2, 4, 3]
    options = {"max_tokens": 6, "temperature": 0.0, "family": family}
    together = infill(MODEL, CANVAS, 5, lengths=lengths, **options)
    for length, fill in zip(lengths, together, strict=True):
        (alone,) = infill(MODEL, CANVAS, 1, lengths=[length], **options)
        assert (alone.ids, alone.order) == (fill.ids, fill.order)
        assert alone.logps == pytest.approx(fill.logps, abs=1e-4)


def test_deleting_reaches_right_where_eos_deletes():
    """A model that always deletes empties the hole in one step; one mask a step otherwise."""

    class Deleting:
        banned: tuple[int, ...] = ()
        vocab_size = VOCABULARY

        def __init__(self, family: Family) -> None:
            self.family = family

        def logits(self, holes):
            rows = sum(list(hole).count(MASK) for _, hole in holes)
            logits = torch.zeros(rows, VOCABULARY)
            logits[:, self.family.delete] = 9.0
            return logits

    for family, passes in ((DREAMON, 1), (FREE, 4)):
        (fill,) = infill(None, CANVAS, 1, lengths=[4], temperature=0.0, context=Deleting(family),
                         alg="entropy")  # fmt: skip
        assert (fill.ids, fill.steps) == ((), passes)


def test_first_lengths():
    scores = first_confidence(open_context(MODEL, [CANVAS], family=FIXED), [1, 3])
    for length, score in scores.items():
        expected = explicit(FIXED, (MASK,) * length, 0).exp().amax(-1).mean().item()
        assert score == pytest.approx(expected, abs=1e-5)
    known = Canvas(CANVAS.left, CANVAS.right, original=(5, 5, 6))
    fills = infill(MODEL, known, 8, max_tokens=9, family=FIXED)
    sizes = Counter(len(fill.ids) for fill in fills)
    assert len(fills[0].ids) == 3  # the original's length always takes part
    assert len(sizes) == AT_ONCE
    assert max(sizes) <= 9


def test_hook_sees_the_canvas_fill_up():
    seen: list[list[list[int]]] = []
    fills = infill(
        MODEL, CANVAS, 2, lengths=[3], family=FIXED, hook=lambda step, holes: seen.append(holes)
    )
    assert [hole.count(MASK) for holes in seen for hole in holes] == [2, 2, 1, 1, 0, 0]
    assert [tuple(hole) for hole in seen[-1]] == [fill.ids for fill in fills]


def test_only_distinct_holes_are_computed():
    calls: list[int] = []

    context = open_context(MODEL, [CANVAS], family=FIXED)
    plain = context.logits

    def counted(holes: Sequence[Asked]) -> torch.Tensor:
        calls.append(len(holes))
        return plain(holes)

    context.logits = counted  # type: ignore[method-assign]
    infill(None, CANVAS, 50, lengths=[3], temperature=0.0, context=context)
    assert calls == [1, 1, 1]


def test_wrong_arguments():
    with pytest.raises(UsageError, match="alg"):
        infill(MODEL, CANVAS, 1, alg="best", family=FIXED)
    with pytest.raises(UsageError, match="left"):
        infill(MODEL, Canvas((), (5,)), 1, family=FIXED)
    with pytest.raises(UsageError, match="family"):
        infill(MODEL, CANVAS, 1)
    with pytest.raises(UsageError, match="lengths"):
        infill(MODEL, CANVAS, 1, lengths=[99], family=FIXED)
    infill(MODEL, Canvas((), (5,)), 1, family=UNSHIFTED)


@pytest.mark.parametrize("family", [FIXED, UNSHIFTED])
@pytest.mark.parametrize("alg", ["entropy", "topk_margin"])
def test_what_stands_there_is_scored_as_a_fill_of_its_order(family: Family, alg: str) -> None:
    """Its places are committed most confident first; each id counts as the model then sees it."""
    ids = (6, 4, 7)
    drawn, given = infill(
        MODEL, CANVAS, 1, lengths=[2], family=family, alg=alg, forced=ids, temperature=0.0
    )
    assert given.ids == ids
    assert len(drawn.ids) == 2
    hole, total = [MASK] * len(ids), 0.0
    while MASK in hole:
        places = [i for i, token in enumerate(hole) if token == MASK]
        probs = explicit(family, tuple(hole), 0).exp()
        if alg == "entropy":
            confidence = (probs * (probs + 1e-10).log()).sum(-1)
        else:
            confidence = probs.topk(2).values[:, 0] - probs.topk(2).values[:, 1]
        best = int(confidence.argmax())
        total += float(probs[best, ids[places[best]]].log())
        hole[places[best]] = ids[places[best]]
    assert given.logp == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("family", [FIXED, UNSHIFTED])
def test_the_likeliest_fill_is_as_likely_given_as_found(family: Family) -> None:
    (found,) = infill(MODEL, CANVAS, 1, lengths=[4], family=family, temperature=0.0)
    _, given = infill(
        MODEL, CANVAS, 1, lengths=[4], family=family, temperature=0.0, forced=found.ids
    )
    assert given.logp == pytest.approx(found.logp, abs=1e-5)
    assert given.order == found.order
