"""What tests rest on, before and after: only what is replaced is told."""

from __future__ import annotations

import builtins
import decimal
import operator
import sys
import types
import unittest
from pathlib import Path
from typing import Any

import pytest

from diffufix.types import State
from diffufix.verify.inside.world import World, digests
from diffufix.verify.judge import Usual, judge


def test_nothing_is_told_of_what_is_as_it_was() -> None:
    world = World()
    builtins.diffufix_new = 1  # type: ignore[attr-defined]
    del builtins.diffufix_new  # type: ignore[attr-defined]
    assert world.changed() == []


@pytest.mark.parametrize(
    ("place", "name"),
    [(builtins, "all"), (operator, "eq"), (unittest.TestCase, "assertEqual")],
)
def test_what_is_replaced_is_told(place: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    with monkeypatch.context() as patch:
        patch.setattr(place, name, lambda *a: True)
        told = world.changed()
    assert [one.rpartition(".")[2] for one in told] == [name]
    assert world.changed() == []


def test_the_tests_own_modules_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    item = types.SimpleNamespace(module=types.SimpleNamespace(__name__=__name__))
    world = World()
    world.add([item], "/nowhere")
    monkeypatch.setitem(globals(), "judge", print)
    assert world.changed() == [f"world:{__name__}.judge"]


def test_what_the_unedited_project_leaves_is_not_the_edits() -> None:
    report = {
        "outcomes": [["passed", ""]], "ready": True, "ended": True, "timeout": None, "status": 0,
        "sentinel": "failed", "touched": [], "world": ["world:builtins.all"],
    }  # fmt: skip
    assert judge(report, ["t"], ["passed"], 0.1).state is State.SUSPICIOUS
    usual = Usual()
    usual.add(report)
    assert judge(report, ["t"], ["passed"], 0.1, usual=usual).passed


def test_another_body_of_the_same_function_is_told() -> None:
    def helper() -> int:
        return 1

    def other() -> int:
        return 2

    module = types.ModuleType("diffufix_patched")
    module.helper = helper  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    try:
        item = types.SimpleNamespace(module=module, name="test", _obj=helper)
        world = World()
        world.add([item], "/nowhere")
        helper.__code__ = other.__code__
        item._obj = other
        assert world.changed() == ["world:diffufix_patched.helper", "world:test"]
    finally:
        del sys.modules[module.__name__]


def test_modules_are_compared_with_those_of_the_unedited_project(tmp_path: Path) -> None:
    source = "def helper(): pass\nclass C:\n    def method(self): pass\n"
    module = types.ModuleType("diffufix_patched")
    module.__file__ = str(tmp_path / "patched.py")
    exec(compile(source, module.__file__, "exec"), vars(module))
    sys.modules[module.__name__] = module
    try:
        before = digests(str(tmp_path), set())
        assert digests(str(tmp_path), set()) == before
        module.C.method = lambda self: 1
        after = digests(str(tmp_path), set())
        assert [name.split("=")[0] for name in {*after} - {*before}] == ["world:diffufix_patched"]
        assert not any(
            "diffufix_patched" in one for one in digests(str(tmp_path), {module.__file__})
        )
    finally:
        del sys.modules[module.__name__]


def test_settings_of_the_interpreter_are_compared() -> None:
    before = digests("/nowhere", set())
    with decimal.localcontext(prec=3):
        told = {*digests("/nowhere", set())} - {*before}
    assert {name.split("=")[0] for name in told} == {"world:decimal"}


def test_a_value_is_usual_where_the_unedited_project_has_it_or_none_that_holds() -> None:
    usual = Usual()
    for value in "ab":
        usual.add({"world": [f"world:m={value}", "world:n=1"], "touched": ["x"]})
    assert "world:m=a" in usual
    assert "world:m=c" not in usual  # two are one before and one after the tests
    assert "world:n=2" not in usual
    assert "world:unknown=1" in usual
    assert "x" in usual
    usual.add({"world": ["world:m=d"]})
    assert "world:m=c" in usual  # it never holds
