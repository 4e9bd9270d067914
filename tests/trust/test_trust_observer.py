"""Calls recorded in a sandbox, and what is made of them; one run for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from diffufix.trust.assess import Green, assess
from diffufix.trust.behaviour import compare
from diffufix.trust.calls import Observer, Watched
from diffufix.trust.groups import difference, group
from diffufix.trust.strength import MutantCounts
from diffufix.trust.types import Recording
from diffufix.types import State
from tests.trust.conftest import Lab

TESTS = [f"test_{name}" for name in
         ("inside", "below", "at_the_low_end", "above", "add", "walk", "nonsense")]  # fmt: skip
WATCHED = [Watched("bags.py", "clamp", 12), Watched("bags.py", "Bag.add", 7),
           Watched("bags.py", "walk", 21)]  # fmt: skip
RIGHT, ALIKE, SPECIAL = "value > high", "high < value", "value > 10"


@dataclass
class Seen:
    lab: object
    observer: Observer
    original: Recording
    right: Recording
    alike: Recording
    special: Recording


@pytest.fixture(scope="module")
def seen(lab: Callable[..., Lab]) -> Iterator[Seen]:
    made = lab()
    expectations = ("clamp(5, 0, 10) == 5", "clamp(5) == 5")
    with made.observer(TESTS, WATCHED, expectations=expectations) as observer:
        edits = [made.edit("value > low", new) for new in (RIGHT, ALIKE, SPECIAL)]
        right, alike, special = observer.observe(edits)
        yield Seen(made, observer, observer.original, right, alike, special)


def test_calls_have_arguments_result_exception_and_lines(seen: Seen) -> None:
    calls = {(c.test.partition("::")[2], c.function): c for c in seen.original.calls}
    inside = calls["test_inside", "clamp"]
    assert inside.arguments == (("value", "5"), ("low", "0"), ("high", "10"))
    assert (inside.kind, inside.value) == ("return", "10")
    nonsense = calls["test_nonsense", "clamp"]
    assert nonsense.kind == "raise"
    assert nonsense.value.startswith("TypeError")
    walk = calls["test_walk", "walk"]
    assert walk.kind == "yield"
    assert "2" in walk.value
    assert seen.original.outcomes["test_bags.py::test_inside"] == "failed"
    assert seen.right.outcomes["test_bags.py::test_inside"] == "passed"


def test_a_change_of_an_argument_belongs_to_the_outcome(seen: Seen) -> None:
    adds = [c for c in seen.original.calls if c.function == "Bag.add"]
    assert [c.value for c in adds] == ["1", "3"]
    assert adds[0].arguments[0] == ("self", "Bag(counts={})")
    assert adds[0].given != adds[1].given


def test_behaviour_in_words(seen: Seen) -> None:
    old = seen.lab.text()  # type: ignore[attr-defined]
    new = old.replace("value > low", RIGHT)
    behaviour = compare(seen.original, seen.right, ["clamp"], {"bags.py": (old, new)})
    assert (behaviour.passing, behaviour.passing_changed) == (4, 0)
    assert (behaviour.failing, behaviour.failing_changed) == (1, 1)
    assert behaviour.path_changed
    assert behaviour.words() == [
        "changes no result of 4 calls in passing tests",
        "changes 1 of 1 call in failing tests",
    ]


def test_groups_and_the_input_that_tells_them_apart(seen: Seen) -> None:
    recordings = [seen.right, seen.special, seen.alike]
    assert group(recordings) == [[0, 2], [1]]
    apart = difference(seen.right, seen.special, seen.observer.names)
    assert apart is not None
    assert apart.call.startswith("clamp(")
    assert apart.one != apart.other
    names = {"clamp": lambda value, low, high: low if value < low else min(value, high)}
    value = eval(apart.call, names) if "'" not in apart.call else None
    assert value is None or apart.one == f"gives {value!r}"


def test_made_up_inputs_keep_their_types(seen: Seen) -> None:
    assert sum(seen.observer.recorded) < len(seen.observer.recorded)
    for name, play in zip(seen.observer.names, seen.right.plays, strict=True):
        if name == "walk" and play is not None:
            assert play.text.startswith("[")


def test_expectations_are_evaluated(seen: Seen) -> None:
    assert seen.original.expected[0] == "no"
    assert seen.right.expected[0] == "yes"
    assert seen.right.expected[1].startswith("TypeError")


def test_the_tree_is_as_it_was(seen: Seen) -> None:
    sandbox = seen.observer._sandbox
    assert sandbox is not None
    assert sandbox.read_file("bags.py").decode() == seen.lab.text()  # type: ignore[attr-defined]


def test_assess_ranks_the_right_one_first_and_refuses_nonsense(seen: Seen) -> None:
    text = seen.lab.text()  # type: ignore[attr-defined]
    start = text.index("value > low")
    tally = MutantCounts({"bags.py": text})
    for state, count in ((State.FAIL, 60), (State.PASS, 3)):
        for _ in range(count):
            tally.note("bags.py", start, start + 11, state)

    def green(new: str, rank: int) -> Green:
        return Green("bags.py", start, start + 11, new, "clamp", "expression", -3.0, -3.0, rank,
                     covering=4)  # fmt: skip

    nonsense = green("value > high or value > high", 1)
    judged = assess([nonsense, green(SPECIAL, 2), green(RIGHT, 3)], seen.observer, tally, 63)
    assert judged[0].index in (1, 2)
    assert judged[-1].index == 0
    assert "asks the same twice" in judged[-1].refused
    assert judged[0].evidence.strength.words() == (
        "the tests reject 60 of 62 other edits of this statement"
    )
    told = [each.difference.words("one", "other") for each in judged[1:] if each.difference]
    assert any(line.startswith("they differ at `clamp(") for line in told)


def test_what_cannot_be_observed_says_why(lab: Callable[..., Lab]) -> None:
    made = lab()
    with made.observer(TESTS, WATCHED) as observer:
        broken = observer.observe([{"bags.py": "import nothing_of_that_name\n"}])[0]
        assert not broken.calls
        elsewhere = observer.observe([{"other.py": "x = 1\n"}])[0]
        assert "not imported" in elsewhere.problem
