"""The gate's statistics: against enumeration, under the null hypothesis, and on clear cases."""

from __future__ import annotations

import itertools

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.errors import UsageError
from diffufix.train.rl.gate import (
    ALPHA,
    EXACT,
    compare,
    pass_at_k,
    repairs,
    sign_flip,
    threshold,
)
from diffufix.types import Task


def task(function: str, number: int = 0) -> Task:
    return Task(f"{function}{number}", "a.py", function, "", 0, 0, "expression", "mutant", ("t",))


@given(st.data())
def test_pass_at_k_is_the_mean_over_all_subsets(data) -> None:
    samples = data.draw(st.integers(1, 7))
    passes, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    outcomes = [True] * passes + [False] * (samples - passes)
    subsets = list(itertools.combinations(outcomes, k))
    assert pass_at_k(passes, samples, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    assert pass_at_k(passes, samples, 1) == pytest.approx(passes / samples)


@pytest.mark.parametrize("wrong", [(3, 2, 1), (1, 2, 3), (0, 0, 1), (1, 2, 0)])
def test_pass_at_k_of_what_cannot_be(wrong) -> None:
    with pytest.raises(ValueError, match="k ="):
        pass_at_k(*wrong)


@given(st.lists(st.integers(-3, 3), max_size=8))
@settings(deadline=None)
def test_sign_flip_is_the_share_of_flips(values: list[int]) -> None:
    found = sign_flip(numpy.array(values, float), numpy.random.default_rng(0))
    flips = [
        sum(s * v for s, v in zip(signs, values, strict=True))
        for signs in itertools.product([1, -1], repeat=len(values))
    ]
    assert found == pytest.approx(sum(f >= sum(values) for f in flips) / len(flips))


def test_drawn_flips_come_near_all_flips() -> None:
    values = numpy.random.default_rng(1).normal(0.2, 1.0, EXACT)
    exact = sign_flip(values, numpy.random.default_rng(0))
    tiny = numpy.concatenate([values, numpy.full(EXACT, 1e-9)])  # too many to enumerate
    assert sign_flip(tiny, numpy.random.default_rng(0)) == pytest.approx(exact, abs=0.01)


def test_a_clear_gain_is_adopted_and_said() -> None:
    tasks = [task(f"f{i}", n) for i in range(10) for n in range(3)]
    result = compare(tasks, [(1, 8)] * 30, [(5, 8)] * 30, k=4)
    assert result.better
    assert (result.before, result.after) == (0.125, 0.625)
    assert result.before_at_k == pytest.approx(pass_at_k(1, 8, 4))
    assert result.p == pytest.approx(0.5**10)
    assert result.low <= result.difference <= result.high
    assert (result.won, result.lost, result.functions, result.tasks) == (10, 0, 10, 30)
    assert "pass@1  12.5% -> 62.5%, +50.0%" in "\n".join(result.lines())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([(4, 8)] * 10, [(4, 8)] * 10, "Not better"),
        ([(4, 8)] * 10, [(3, 8)] * 10, "Not better"),
        ([(4, 8)] * 10, [(8, 8)] * 3 + [(4, 8)] * 7, "Too few functions differ"),
        ([(4, 8)] * 10, [(8, 8)] * 5 + [(1, 8)] * 5, "no more than chance"),
    ],
)
def test_what_is_not_adopted(before, after, said) -> None:
    result = compare([task(f"f{i}") for i in range(10)], before, after)
    assert not result.better
    assert said in result.reason


def test_many_mutants_of_one_function_are_one_witness() -> None:
    tasks = [task("f", number) for number in range(40)]
    assert not compare(tasks, [(0, 8)] * 40, [(8, 8)] * 40).better


def test_tasks_without_samples_do_not_count() -> None:
    tasks = [task("f"), task("g"), task("h")]
    result = compare(tasks, [(1, 4), (0, 0), (2, 4)], [(3, 4), (4, 4), (0, 0)])
    assert (result.tasks, result.before, result.after) == (1, 0.25, 0.75)
    assert result.k == 8
    assert result.after_at_k == 1.0  # of the four that there are
    with pytest.raises(UsageError, match="nothing to compare"):
        compare([], [], [])


def test_chance_is_adopted_about_as_often_as_said() -> None:
    rng = numpy.random.default_rng(7)
    tasks = [task(f"f{i}", n) for i in range(12) for n in range(3)]
    adopted = 0
    for seed in range(200):
        rates = numpy.repeat(rng.beta(1, 2, 12), 3)  # alike within a function
        before, after = ([(int(c), 8) for c in rng.binomial(8, rates)] for _ in range(2))
        adopted += compare(tasks, before, after, seed=seed).better
    assert adopted / 200 < 2 * ALPHA


def test_fewer_repairs_by_more_than_chance_stop_an_adoption() -> None:
    tasks = [task(f"f{i}") for i in range(10)]
    counts = [(1, 8)] * 10, [(5, 8)] * 10
    none = repairs([3] * 10, [None] * 5 + [4] * 5, 50)
    assert none is not None
    assert (none.before, none.after, none.p) == (10, 5, 0.5**5)
    result = compare(tasks, *counts, searched=none)
    assert not result.better
    assert "the search repairs less" in result.reason
    assert "repairs 10 -> 5 of 10 searched, 50 candidates each" in result.lines()
    few = repairs([3] * 10, [None] * 4 + [40] * 6, 50)
    assert few is not None
    assert not few.fewer  # four of four: p = 1/16
    assert compare(tasks, *counts, searched=few).better
    more = repairs([None] * 9 + [1], [1] * 10, 50)
    assert more is not None
    assert more.p == 1.0
    assert repairs([], [], 50) is None


def test_many_sessions_adopt_by_luck_no_more_often_than_one() -> None:
    spent = [threshold(look) for look in range(1, 2000)]
    assert spent == sorted(spent, reverse=True)
    assert 0.045 < sum(spent) <= ALPHA
    # by simulation: models that are no better, compared on the same functions ten times
    generator = numpy.random.default_rng(1)
    lucky = 0
    for _ in range(400):
        lucky += any(
            sign_flip(generator.choice([-0.25, 0.0, 0.25], 10), generator) < threshold(look)
            for look in range(1, 11)
        )
    assert lucky / 400 < ALPHA + 0.03
