"""Which tasks are worth asking next: those that are solved sometimes. Pure.

A group teaches where some of its completions pass and some do not. The share of passes of a task
is estimated from what it did so far, older results counting less since the model changes; tasks
between LOW and HIGH are drawn most, those never or always solved seldom, unknown ones like good
ones. Tasks on which the model is wrong give harder ones: their wrong fills, left standing.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffufix.types import Group, Task

LOW, HIGH = 0.2, 0.6
LEAST = 0.05  # weight of a task that is never or always solved, against 1
FADING = 0.7  # what a result counts after the next one of the same task
PRIOR = 0.5  # passes, and failures, that a task begins with


@dataclass
class _Record:
    passes: float = 0.0
    tries: float = 0.0

    @property
    def rate(self) -> float:
        return (self.passes + PRIOR) / (self.tries + 2 * PRIOR)


@dataclass
class Curriculum:
    """The tasks of a session by key, and how often each is solved."""

    tasks: dict[str, Task] = field(default_factory=dict)
    records: dict[str, _Record] = field(default_factory=dict)

    def add(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self.tasks.setdefault(task.key, task)

    def draw(self, count: int, rng: random.Random) -> list[Task]:
        """Tasks without replacement, by weight (fewer, if there are fewer)."""
        lots = {key: rng.random() ** (1 / self.weight(key)) for key in self.tasks}
        best = sorted(lots, key=lambda key: (-lots[key], key))[:count]
        return [self.tasks[key] for key in best]

    def weight(self, key: str) -> float:
        record = self.records.get(key)
        if record is None:
            return 1.0
        rate = record.rate
        return LEAST + (1 - LEAST) * min(1.0, rate / LOW, (1 - rate) / (1 - HIGH))

    def note(self, groups: Sequence[Group]) -> None:
        """Take over what groups say of their tasks; what has no reward says nothing."""
        for group in groups:
            known = [one for one in group.completions if one.reward is not None]
            record = self.records.setdefault(group.task.key, _Record())
            if known:
                record.passes = FADING * record.passes + sum(one.state == "pass" for one in known)
                record.tries = FADING * record.tries + len(known)

    @property
    def solve_rate(self) -> float:
        """Mean over the tasks that were tried."""
        rates = [record.passes / record.tries for record in self.records.values() if record.tries]
        return sum(rates) / max(1, len(rates))

    def state(self) -> dict[str, Any]:
        """Plain values, to go on with the same draws after `restore` and `add`."""
        return {key: [record.passes, record.tries] for key, record in self.records.items()}

    def restore(self, state: Mapping[str, Sequence[float]]) -> None:
        self.records = {key: _Record(*values) for key, values in state.items()}
