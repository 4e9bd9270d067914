"""Strength, settled conditions, the probability: plain arithmetic against counting by hand."""

from __future__ import annotations

import math

import pytest

from diffufix.trust.evidence import Evidence
from diffufix.trust.probability import THRESHOLD, capped, coefficients, probability
from diffufix.trust.settled import settled
from diffufix.trust.strength import MutantCounts
from diffufix.trust.types import Call, Recording
from diffufix.types import State

SOURCE = "def f(a, b):\n    if a < b:\n        return a + 1\n    return b\n"


def test_the_tally_counts_by_statement() -> None:
    tally = MutantCounts({"m.py": SOURCE})
    plus = SOURCE.index("a + 1")
    for state in (State.FAIL, State.FAIL, State.TIMEOUT, State.ERROR, State.PASS):
        tally.note("m.py", plus, plus + 1, state)
    tally.note("m.py", plus + 4, plus + 5, State.FAIL)  # another token of the statement
    tally.note("m.py", SOURCE.index("b\n"), SOURCE.index("b\n") + 1, State.FAIL)  # another one
    found = tally.at("m.py", plus, plus + 5)
    assert (found.tried, found.passed) == (5, 1)  # what does not run is no mutant
    assert found.words() == "the tests reject 4 of 4 other edits of this statement"
    assert math.isclose(found.rejected, 5 / 6)


def test_a_weak_place_is_one_where_much_passes() -> None:
    tally = MutantCounts({"m.py": SOURCE})
    place = SOURCE.index("a < b")
    for _ in range(4):
        assert not tally.weak("m.py", place, place + 1)
        tally.note("m.py", place, place + 1, State.PASS)
    assert tally.weak("m.py", place, place + 1)
    for _ in range(40):
        tally.note("m.py", place, place + 1, State.FAIL)
    assert not tally.weak("m.py", place, place + 1)


def _recording(*ways: bool) -> Recording:
    calls = [Call("t", "f", (), "", "return", "", "", (2, 3) if way else (2, 4)) for way in ways]
    return Recording(calls=tuple(calls))


def test_a_condition_that_an_edit_made_constant() -> None:
    new = SOURCE.replace("a < b", "a < b or b")
    both = _recording(True, False, True, False)
    (fault,) = settled(SOURCE, new, both, _recording(*[True] * 4))
    assert fault.reason == "`a < b or b` is true in all 4 evaluations that were recorded"
    assert not settled(SOURCE, new, both, both)
    assert not settled(SOURCE, new, _recording(*[True] * 4), _recording(*[True] * 4))
    assert not settled(SOURCE, SOURCE, both, _recording(*[True] * 4))


def test_the_probability_is_the_logistic_of_the_weighted_sum() -> None:
    weights = {
        "intercept": 0.5,
        "features": {
            "a": {"mean": 1.0, "scale": 2.0, "coefficient": 1.5},
            "b": {"mean": 0.0, "scale": 1.0, "coefficient": -1.0},
        },
    }
    expected = 1 / (1 + math.exp(-(0.5 + 1.5 * 1.0 - 2.0)))
    assert math.isclose(probability({"a": 3.0, "b": 2.0}, weights), expected)
    # what is missing counts as the mean
    assert math.isclose(probability({}, weights), 1 / (1 + math.exp(-0.5)))


def test_the_shipped_coefficients_know_every_feature() -> None:
    known = set(Evidence().features())
    assert set(coefficients()["features"]) <= known
    assert 0.0 < probability(Evidence().features()) < 1.0


@pytest.mark.parametrize("doubt", ["unobserved", "unseen", "odd", "deletes"])
def test_what_leaves_a_doubt_is_never_called_a_repair(doubt: str) -> None:
    assert capped(0.97, {doubt: 1.0}) < THRESHOLD
    assert capped(0.3, {doubt: 1.0}) == 0.3
    assert capped(0.97, {doubt: 0.0, "strength": 3.0}) == 0.97
