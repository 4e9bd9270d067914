"""pass@k, intervals, paired tests: against enumeration and known limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from diffufix.completion.arness import global_arness, local_arness
from diffufix.evaluation.statistics import paired, pass_at_k, share, sign_flip


@pytest.mark.parametrize(("n", "c"), [(5, 0), (5, 2), (6, 6), (7, 1)])
def test_pass_at_k_is_the_share_of_draws_with_one_that_passes(n: int, c: int) -> None:
    for k in range(1, n + 1):
        draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_is_the_published_estimator() -> None:
    for n, c, k in [(200, 13, 10), (200, 199, 100), (20, 3, 1), (100, 0, 100)]:
        product = 1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))
        assert pass_at_k(n, c, k) == pytest.approx(product)
    with pytest.raises(ValueError, match="pass@5"):
        pass_at_k(4, 1, 5)


def test_an_interval_covers_and_narrows() -> None:
    rng = np.random.default_rng(1)
    wide, narrow = share([1.0, 0.0] * 10), share([1.0, 0.0] * 200)
    assert wide.low < 0.5 < wide.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 3
    covered = 0
    for _ in range(60):
        found = share(list((rng.random(40) < 0.3).astype(float)))
        covered += found.low <= 0.3 <= found.high
    assert covered >= 50


def test_where_all_are_alike_the_bound_is_exact() -> None:
    none, all_ = share([0.0] * 20), share([1.0] * 20)
    assert none.low == 0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert all_.high == 1
    assert all_.low == pytest.approx(0.025 ** (1 / 20))
    assert share([]).cases == 0


def test_a_paired_test_of_right_and_wrong_is_mcnemars() -> None:
    a = {str(i): float(i < 4) for i in range(20)}
    b = {str(i): float(i < 10) for i in range(20)} | {"0": 0.0}
    found = paired(a, b)
    tail = sum(math.comb(7, i) for i in (0, 1)) / 2**7
    assert found.p == pytest.approx(2 * tail)
    assert (len(found.better), len(found.worse)) == (6, 1)
    assert found.difference.value == pytest.approx(0.25)
    assert sign_flip(np.zeros(5)) == 1.0
    many = np.array([1.0] * 30 + [-1.0] * 10)
    assert sign_flip(many) < 0.01


def test_arness_of_known_orders() -> None:
    straight, back = tuple(range(8)), tuple(range(7, -1, -1))
    for k in (1, 2):
        assert local_arness(straight, k) == global_arness(straight, k) == 1
        assert local_arness(back, k) == 0
    assert global_arness(back) == pytest.approx(1 / 8)  # the last mask is the leftmost one
    assert local_arness((2, 3, 0, 1)) == pytest.approx(2 / 3)
    assert global_arness((2, 3, 0, 1), 2) == pytest.approx(2 / 4)
    assert local_arness((0,)) is None
    assert global_arness(()) is None
