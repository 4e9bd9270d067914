"""Rollouts elsewhere: versions, the bound on their age, and rollers that are lost."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from diffufix.errors import SandboxUnavailable
from diffufix.train.rl.fleet import hiring
from diffufix.train.rl.fleet.driver import TRIES, Fleet, Weights
from diffufix.train.rl.fleet.hiring import Hiring, Room
from diffufix.train.rl.rollouts import Throughput
from diffufix.types import Group, Task


def task(number: int) -> Task:
    return Task(
        f"key{number}", "x.py", f"f{number}", "", 0, 0, "statement", "mutant", ("test_x.py::test",)
    )


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))
        self.frozen = torch.nn.Parameter(torch.zeros(2), requires_grad=False)


class Roll:
    """Answers when it is told to, or at once; a lost one fails all that it has."""

    made: list[Roll]

    def __init__(self, lost: Roll | None = None) -> None:
        self.waiting: list[tuple[Future[Any], Weights, Sequence[Task], int]] = []
        self.slow = self.lost = self.closed = False
        self.made.append(self)

    def ask(self, weights: Weights, tasks: Sequence[Task], n: int, seed: int) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, weights, tasks, seed))
        if not self.slow:
            self.answer()
        return future

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future, weights, tasks, seed in waiting:
            if self.lost:
                future.set_exception(SandboxUnavailable("lost"))
            else:
                groups = [Group(each, None, (), weights.name, "") for each in tasks]  # type: ignore[arg-type]
                future.set_result((groups, Throughput(samples=seed % 7 + 1)))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def rolls(monkeypatch: pytest.MonkeyPatch) -> list[Roll]:
    monkeypatch.setattr(Roll, "made", [], raising=False)
    return Roll.made


def ask(fleet: Fleet, numbers: range, version: str, seed: int = 0) -> list[Group]:
    fleet.version = version
    generator = torch.Generator().manual_seed(seed)
    model: Any = Model()
    return fleet.groups(model, [task(number) for number in numbers], 4, generator)


def test_every_group_carries_the_version_that_sampled_it(rolls: list[Roll]) -> None:
    stored: list[Any] = []
    fleet = Fleet(Roll, 2, lambda state: stored.append(state) or len(stored))  # type: ignore[func-returns-value]
    for version in ("one", "one", "two"):
        groups = ask(fleet, range(5), version)
        assert sorted(group.task.qualname for group in groups) == [f"f{n}" for n in range(5)]
        assert {group.model for group in groups} == {version}
    assert [list(state) for state in stored] == [["weight"]] * 2  # once a version, what is trained
    assert fleet.ages == {0: 15}
    assert fleet.spent.samples > 0


def test_seeds_depend_on_the_generator_alone(rolls: list[Roll]) -> None:
    seen: list[tuple[str, int]] = []
    for count in (1, 3):
        rolls.clear()
        fleet = Fleet(Roll, count, dict)
        for roll in rolls:
            roll.ask = _noting(roll, seen)  # type: ignore[method-assign]
        ask(fleet, range(6), "one", seed=3)
    half = len(seen) // 2
    assert sorted(seen[:half]) == sorted(seen[half:])


def _noting(roll: Roll, seen: list[tuple[str, int]]) -> Any:
    original = roll.ask

    def asked(weights: Weights, tasks: Sequence[Task], n: int, seed: int) -> Future[Any]:
        seen.append((tasks[0].qualname, seed))
        return original(weights, tasks, n, seed)

    return asked


def test_late_groups_are_used_up_to_the_bound_and_dropped_beyond(rolls: list[Roll]) -> None:
    fleet = Fleet(Roll, 2, dict, stale=1)
    slow, _ = rolls
    slow.slow = True
    assert ask(fleet, range(2), "v0") == []  # under way with the slow one
    slow.answer()
    found = ask(fleet, range(2, 4), "v1")
    assert sorted((group.task.qualname, group.model) for group in found) == [
        ("f0", "v0"), ("f1", "v0"), ("f2", "v1"), ("f3", "v1"),
    ]  # fmt: skip
    assert fleet.ages == {0: 2, 1: 2}
    assert ask(fleet, range(4, 6), "v2") == []
    assert len(ask(fleet, range(6, 8), "v3")) == 2
    assert len(ask(fleet, range(8, 10), "v4")) == 2
    slow.answer()
    assert {group.model for group in ask(fleet, range(2), "v5")} == {"v5"}
    assert fleet.dropped == 2  # three versions old
    assert fleet.numbers()["staleness_most"] == 1


def test_a_lost_roller_costs_its_tasks_another_try(rolls: list[Roll]) -> None:
    fleet = Fleet(Roll, 2, dict)
    rolls[0].lost = True
    groups = ask(fleet, range(6), "one")
    assert sorted(group.task.qualname for group in groups) == [f"f{n}" for n in range(6)]
    assert fleet.lost == 1
    assert rolls[0].closed
    assert len(rolls) == 3
    assert fleet.given_up == 0


def test_where_all_are_lost_again_and_again_the_tasks_are_given_up(
    rolls: list[Roll], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hire(lost: Roll | None = None) -> Roll:
        roll = Roll()
        roll.lost = True
        return roll

    fleet = Fleet(hire, 1, dict)
    assert ask(fleet, range(2), "one") == []
    assert fleet.given_up == 2
    assert fleet.lost == TRIES


def test_parts_of_a_lost_roller_go_to_the_new_one(rolls: list[Roll]) -> None:
    """It fails one part after the other, the last when it is closed."""

    class Dying(Roll):
        def ask(self, weights: Weights, tasks: Sequence[Task], n: int, seed: int) -> Future[Any]:
            self.lost = True
            self.answer()
            self.slow = True
            return super().ask(weights, tasks, n, seed)

        def close(self) -> None:
            self.answer()

    hired: list[Roll | None] = []

    def hire(lost: Roll | None = None) -> Roll:
        hired.append(lost)
        return Roll() if lost else Dying()

    fleet = Fleet(hire, 1, dict)
    found = ask(fleet, range(4), "v")
    assert len(found) == 4
    assert hired == [None, rolls[0]]
    assert (fleet.lost, fleet.given_up) == (1, 0)


def test_a_roller_is_hired_anew_on_another_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiring, "rooms", lambda: [Room("a", 1, 0, 1), Room("b", 1, 0, 1)])
    monkeypatch.setattr(hiring, "RayRoll", lambda made, gpus, node: SimpleNamespace(node=node))
    plan: Any = None
    hire = Hiring(plan)
    first, second = hire(), hire()
    assert [first.node, second.node] == ["a", "b"]
    assert hire(first).node == "b"
