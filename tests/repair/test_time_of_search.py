"""When the search of several goals ends: `RoundRobin.run`, with a clock of its own."""

from __future__ import annotations

from typing import Any

import pytest

from diffufix.propose.candidates import PatchSet
from diffufix.repair import round_robin
from diffufix.repair.round_robin import RoundRobin


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Goal:
    """A search that finds something at a moment, if at all."""

    over = False
    patience_spent = 0.0
    late = end = 0.0

    def __init__(self, clock: Clock, at: float) -> None:
        self.clock, self.at = clock, at

    @property
    def found(self) -> bool:
        return self.clock.now >= self.at

    def step(self, until: float, tick: Any) -> None:
        while self.clock.now < until and not (self.found and self.clock.now > self.late):
            self.clock.now += 0.5
        self.over = self.found and self.clock.now > self.late

    def best(self) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("found", "ended"),
    [(float("inf"), 60.0), (10.0, 48.0), (52.0, 52.0)],
    ids=["nothing is found", "early", "when there is little time left"],
)
def test_the_time_for_confirmation_is_kept_as_soon_as_there_is_something_to_confirm(
    monkeypatch: pytest.MonkeyPatch, found: float, ended: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(round_robin, "time", clock)
    goals: list[Any] = [Goal(clock, found)]
    RoundRobin(goals, None, PatchSet({}), print, lambda: None).run(48.0, 60.0)  # type: ignore[arg-type]
    assert clock.now == pytest.approx(ended, abs=0.5)
