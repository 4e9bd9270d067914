"""The jury works beside the search: it is waited for only where its word is needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from diffufix.repair import jury as jury_module
from diffufix.repair.jury import PLAY, SHARE, Jury, Terms
from diffufix.trust.assess import Judged
from diffufix.trust.evidence import Evidence
from diffufix.types import TestRun


@dataclass
class Success:
    candidate_id: int
    rank_cost: float = 0.0
    found: object = field(default_factory=object)


@dataclass
class Goal:
    subjects: tuple[Any, ...] = ()


@dataclass
class Searched:
    """What the jury reads of a search."""

    successes: list[Any]
    partial: list[Any] = field(default_factory=list)
    strength: Any = None
    tried: int = 1
    tests_source: str = ""
    tests: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    goal: Goal = field(default_factory=Goal)


class Assessing:
    """Stands in for `assess`: waits until it may go on, and says that all are right."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked: list[int] = []

    def __call__(self, greens: Any, *_: Any, **__: Any) -> list[Judged]:
        assert self.may.wait(20)
        self.asked.append(len(greens))
        return [Judged(i, 0.9, Evidence()) for i in range(len(greens))]


@pytest.fixture
def assessing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Assessing]:
    made = Assessing()
    monkeypatch.setattr(jury_module, "assess", made)
    monkeypatch.setattr(jury_module, "AGAIN", 0.0)
    yield made
    made.may.set()


def jury_with(left: float) -> Jury:
    def sandbox() -> Any:
        raise AssertionError("nothing is run here")

    return Jury(
        Terms(0.8), sandbox, TestRun(Path(), (), (), 1, 0.0), {}, python="python", args=(),
        root=Path(), folder="", env={}, seed=0, until=time.monotonic() + left,
        note=lambda number, verdict: None,
    )  # fmt: skip


def test_the_search_goes_on_while_the_jury_works(assessing: Assessing) -> None:
    jury, search = jury_with(1000), Searched([Success(1)])
    assert not jury.settles(search)  # type: ignore[arg-type]
    search.successes.append(Success(2))
    assert not jury.settles(search)  # type: ignore[arg-type]
    assert assessing.asked == []
    assessing.may.set()
    jury.judge(search)  # type: ignore[arg-type]
    assert assessing.asked == [1, 2]
    assert jury.settles(search)  # type: ignore[arg-type]
    jury.close()


def test_no_more_successes_are_looked_at_than_there_is_time_for(assessing: Assessing) -> None:
    assessing.may.set()
    jury = jury_with(6.5 * PLAY / SHARE)
    search = Searched([Success(number) for number in range(9)])
    jury.judge(search)  # type: ignore[arg-type]
    assert assessing.asked == [4]  # the project as it is takes the time of two
    jury.judge(search)  # type: ignore[arg-type]
    assert assessing.asked == [4, 8]
    jury.close()


def test_a_jury_that_is_stopped_is_not_waited_for(assessing: Assessing) -> None:
    jury, search = jury_with(1000), Searched([Success(1)])
    jury.settles(search)  # type: ignore[arg-type]
    jury.stop()
    jury.judge(search)  # type: ignore[arg-type]
    assert assessing.asked == []
    assessing.may.set()
    jury.close()


def test_what_a_look_has_taken_bounds_the_next_ones(
    assessing: Assessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    jury = jury_with(1.8 / SHARE)
    search = Searched([Success(number) for number in range(3)])
    monkeypatch.setattr(jury_module, "PLAY", 0.1)  # what a version is thought to take
    threading.Timer(1.0, assessing.may.set).start()  # and five take ten times that
    jury.judge(search)  # type: ignore[arg-type]
    search.successes += [Success(number) for number in range(3, 10)]
    jury.judge(search)  # type: ignore[arg-type]
    assert assessing.asked[0] == 3
    assert assessing.asked[1] < 10  # not all of them
    jury.close()
