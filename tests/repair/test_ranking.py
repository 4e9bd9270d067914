"""Of several patches that pass, the one most likely to be right comes first."""

from __future__ import annotations

import pytest

from diffufix.repair.ranking import code_tokens, rank_cost

OLD = """def total(prices, rate):
    result = 0
    for price in prices:
        if price > 100:
            result += price * rate
    return result
"""
TESTS = "def test_total():\n    assert total([150, 50], 2) == 350\n    assert not total([], 1)\n"


def worth(old: str, new: str, score: float = 0.0, tests: str = TESTS) -> float:
    return rank_cost(OLD, OLD.replace(old, new), score, tests)


SMALL = worth("> 100", ">= 100")


GUARD = "        if price > 100:\n"
LOOP = f"    for price in prices:\n{GUARD}            result += price * rate\n"
SPECIAL_CASE = "    if len(prices) == 2:\n        return 350\n    return result\n"


@pytest.mark.parametrize(
    "edit",
    [
        (GUARD + "            result", "        result"),
        (LOOP, ""),
        ("    return result\n", "    return 350\n"),  # copied from the tests
        ("    return result\n", SPECIAL_CASE),
        ("            result += price * rate", "            pass"),
        (
            "            result += price * rate",
            "            try:\n                result += price * rate\n"
            "            except Exception:\n                result = 0",
        ),
        ("price * rate", "price * rate + rate * price - result"),
    ],
)  # fmt: skip
def test_a_small_honest_edit_comes_first(edit: tuple[str, str]) -> None:
    assert worth(*edit) > SMALL


def test_literals_of_the_tests_count_against_a_patch() -> None:
    assert worth("> 100", "> 150") > worth("> 100", "> 149")
    assert worth("> 100", "> 2") == worth("> 100", "> 3"), "short ones are everywhere"
    assert worth("> 100", "> 150") > worth("> 100", "> 150", tests="")


def test_truth_values_are_no_literals_to_copy() -> None:
    old, tests = "def f(x):\n    return False\n", "assert f(1) is True\nassert f(None) is None"
    for value in ("True", "None"):
        new = old.replace("False", value)
        assert rank_cost(old, new, 0.0, tests) == rank_cost(old, new, 0.0)


def test_of_equal_edits_the_likelier_comes_first() -> None:
    assert worth("> 100", ">= 100", score=-1.0) < worth("> 100", ">= 100", score=-8.0)


def test_layout_and_comments_cost_nothing() -> None:
    assert worth("> 100:", ">  100 :  # more") == 0


def test_tokens_of_pieces_that_are_no_code() -> None:
    assert code_tokens("x+1 # c\n") == ["x", "+", "1"]
    assert code_tokens("    def f(self):\n        return (1") == ["def", "f(self):", "return", "(1"]
    assert code_tokens("def f():\n    '''open") == ["def", "f():", "'''open"]
