"""Turns: a search whose tests another's change has turned green is not stepped again."""

from __future__ import annotations

import time
from typing import Any

from diffufix.propose.candidates import Change, PatchSet
from diffufix.repair.round_robin import RoundRobin
from diffufix.repair.search import FailureGroup, PlausiblePatch
from diffufix.types import State, Verdict


class Pool:
    """Every candidate passes."""

    capacity = 1

    def submit(self, *_: Any, **__: Any) -> int:
        return 1

    def results(self, timeout: float | None) -> list[tuple[int, Verdict]]:
        return [(1, Verdict(State.PASS))]


class Scene:
    """A search that has found one change as soon as it is stepped."""

    patience_spent = 0.0
    over = True

    def __init__(self, test: str, change: Change) -> None:
        self.goal = FailureGroup((test,), ())
        self.found = PlausiblePatch(change, (test,), 0.0, 1)
        self.steps: list[tuple[str, ...]] = []

    def step(self, until: float, tick: Any) -> None:
        self.steps.append(self.goal.targets)

    def best(self) -> list[PlausiblePatch]:
        return [self.found]

    def give_up(self, tests: tuple[str, ...]) -> None:
        left = tuple(test for test in self.goal.targets if test not in tests)
        self.goal = FailureGroup(left, ())

    def take_over(self, tests: tuple[str, ...]) -> None:
        pass

    def schedule(self, *_: Any) -> tuple[tuple[str, ...], frozenset[str]]:
        return self.goal.targets, frozenset()

    def drain(self) -> None:
        pass


def test_no_second_change_rides_along() -> None:
    source = "def half(n):\n    if n < 0:\n        return 0\n    return n // 3\n"
    first = Scene("t::half", Change("m.py", source.index("3"), source.index("3") + 1, "2"))
    second = Scene("t::describe", Change("m.py", source.index("0:"), source.index("0:") + 1, "1"))
    scenes: list[Any] = [first, second]
    pool: Any = Pool()
    turns = RoundRobin(scenes, pool, PatchSet({"m.py": source}), lambda event: None, lambda: None)
    turns.run(time.monotonic() + 60, time.monotonic() + 60)
    turns.finish()
    assert second.steps == []  # its test is green by the first change
    assert [[found.change for found in each] for each in turns.accepted] == [[first.found.change]]
    assert turns.accepted[0][0].green == ("t::half", "t::describe")
