"""What tests rest on, before and after: only what is replaced is told."""

from __future__ import annotations

import builtins
import operator
import types
import unittest
from typing import Any

import pytest

from diffufix.types import State
from diffufix.verify.inside.world import World
from diffufix.verify.judge import judge, written


def test_nothing_is_told_of_what_is_as_it_was() -> None:
    world = World([])
    builtins.diffufix_new = 1  # type: ignore[attr-defined]
    del builtins.diffufix_new  # type: ignore[attr-defined]
    assert world.changed() == []


@pytest.mark.parametrize(
    ("place", "name"),
    [(builtins, "all"), (operator, "eq"), (unittest.TestCase, "assertEqual")],
)
def test_what_is_replaced_is_told(place: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World([])
    with monkeypatch.context() as patch:
        patch.setattr(place, name, lambda *a: True)
        told = world.changed()
    assert [one.rpartition(".")[2] for one in told] == [name]
    assert world.changed() == []


def test_the_tests_own_modules_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    item = types.SimpleNamespace(module=types.SimpleNamespace(__name__=__name__))
    world = World([item])
    monkeypatch.setitem(globals(), "judge", print)
    assert world.changed() == [f"world:{__name__}.judge"]


def test_what_the_unedited_project_leaves_is_not_the_edits() -> None:
    report = {
        "outcomes": [["passed", ""]], "ready": True, "ended": True, "timeout": None, "status": 0,
        "sentinel": "failed", "touched": [], "world": ["world:builtins.all"],
    }  # fmt: skip
    assert judge(report, ["t"], ["passed"], 0.1).state is State.SUSPICIOUS
    assert judge(report, ["t"], ["passed"], 0.1, usual=written(report)).passed
