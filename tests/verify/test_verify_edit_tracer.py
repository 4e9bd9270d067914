"""What is seen of the edit while it runs: places, executed lines, reach for what forgers need."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from diffufix.types import Candidate, State
from diffufix.verify.inside.edit_tracer import EditTracer, executable
from diffufix.verify.route import Original
from diffufix.verify.static import planted, suspicion

SOURCE = textwrap.dedent(
    """\
    LIMIT = 1

    def one(x):
        if x:
            return 1
        return 2

    class Thing:
        def two(self):
            return [y for y in range(3)]
    """
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("return 1", "return 3", [("m.py", 3, 6, (5,))]),
        ("    return 2\n", "", [("m.py", 3, 5, ())]),
        ("range(3)", "range(4)", [("m.py", 9, 10, (10,))]),
        ("LIMIT = 1", "LIMIT = 2", [("m.py", 0, 0, ())]),
        ("    return 2\n", "    return 2\n\ndef new():\n    pass\n", [("m.py", 0, 0, ())]),
    ],
)
def test_places_of_an_edit(old: str, new: str, expected: Any) -> None:
    assert SOURCE.count(old) == 1
    found = Original(SOURCE.encode()).places("m.py", SOURCE.replace(old, new))
    assert found[: len(expected)] == expected


def test_places_of_two_edits() -> None:
    text = SOURCE.replace("return 1", "return 3").replace("range(3)", "range(4)")
    places = Original(SOURCE.encode()).places("m.py", text)
    assert [place[1:] for place in places] == [(3, 6, (5,)), (9, 10, (10,))]


@pytest.mark.parametrize(
    ("call", "seen"),
    [("one(0)", False), ("one(1)", True), ("Thing().two()", False), ("None", False)],
)
def test_an_edited_line_is_seen_when_it_runs(tmp_path: Path, call: str, seen: bool) -> None:
    path = tmp_path / "m.py"
    space: dict[str, Any] = {}
    exec(compile(SOURCE, str(path), "exec"), space)
    witness = EditTracer(str(tmp_path), [["m.py", 3, 6, [5]]])
    before = sys.gettrace()
    try:
        witness.start()
        eval(call, space)
        assert (not witness.unseen()) is seen
    finally:
        witness.stop()
        sys.settrace(before)


def test_other_code_at_the_same_line_of_a_namespace_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    space: dict[str, Any] = {"__file__": str(path)}
    exec(compile("\n\ndef strange(x):\n    return x\n", "<made>", "exec"), space)
    exec(compile(SOURCE, str(path), "exec"), space)
    witness = EditTracer(str(tmp_path), [["m.py", 3, 6, [5]]])
    before = sys.gettrace()
    try:
        witness.start(probe=lambda reason: None)
        eval("[strange(1) for _ in range(3)]", space)
        assert witness.unseen()
        eval("one(1)", space)
        assert not witness.unseen()
    finally:
        witness.stop()
        sys.settrace(before)


def test_where_no_changed_line_can_run_entering_is_enough(tmp_path: Path) -> None:
    space: dict[str, Any] = {}
    exec(compile(SOURCE, str(tmp_path / "m.py"), "exec"), space)
    assert executable(space["one"].__code__) == {4, 5, 6}
    witness = EditTracer(str(tmp_path), [["m.py", 3, 6, []]])
    before = sys.gettrace()
    try:
        witness.start()
        space["one"](0)
        assert not witness.unseen()
    finally:
        witness.stop()
        sys.settrace(before)


@pytest.mark.parametrize(
    "code",
    [
        "type('X', (int,), {})",
        "setattr(x, '__e' + 'q__', 1)",
        "x = {'__eq__': 1}",
        "x = '_' + '_eq_' + '_'",
        "x = f'__{\"eq\"}__'",
        "class X:\n    __eq__ = None",
        "class X(metaclass=M): pass",
        "X.__eq__ = 1",
        "getattr(x, name)",
        "from mock import ANY",
        "sys.breakpointhook",
    ],
)
def test_ways_to_name_without_naming_are_suspicious(code: str) -> None:
    assert suspicion("x = 1\n", f"x = 1\n{code}\n")


def test_new_files_that_tests_may_make() -> None:
    for path in ("conftest.py", "a/b.pth", "x/test_a.py", "tests/helper.py", "pytest.ini"):
        assert planted(path)
    for path in ("out.txt", "tests/out/report.json", "data/cache.db"):
        assert not planted(path)


PROJECT = {
    "app.py": """
        import sys

        def used(x):
            return x + 2

        def unused(x):
            return x * 1

        def named(x):
            return sys._getframe().f_code.co_name
        """,
    "test_app.py": """
        import os
        from app import named, used

        def test_used():
            assert used(1) == 2

        def test_named():
            assert named(1) == "named"

        def test_flaky():
            # Green when somebody else's file says so: no edit of `unused` is why.
            assert "unused" in os.environ.get("X", "unused")
        """,
}


@pytest.fixture(scope="module")
def project(make_project: Any) -> Any:
    return make_project(PROJECT)


def test_an_edit_that_never_runs_is_no_repair(project: Any, ask: Any) -> None:
    tests = ["test_app.py::test_flaky", "test_app.py::test_named"]
    failing = ["test_app.py::test_used"]
    with project.screen(failing=failing) as screen:
        edit = project.edit("app.py", "x * 1", "x * 2")
        for way in ("swap", "fork", "cold"):
            verdict = ask(screen, edit, tests, way=way)
            assert verdict.state is State.SUSPICIOUS, (way, verdict)
            assert "never executed" in verdict.detail
            right = project.edit("app.py", "x + 2", "x + 1")
            assert ask(screen, right, [*failing, *tests], way=way).passed


def test_what_moved_down_is_not_taken_for_the_edit(project: Any, ask: Any) -> None:
    """`named` runs where the grown `unused` lies now; its line numbers are old in a swap."""
    grown = project.edit("app.py", "return x * 1", "\n    ".join(["x = x"] * 9 + ["return x"]))
    with project.screen(failing=["test_app.py::test_used"]) as screen:
        for way in ("swap", "fork", "cold"):
            verdict = ask(screen, grown, ["test_app.py::test_named"], way=way)
            assert verdict.state is State.SUSPICIOUS, (way, verdict)


def test_two_functions_are_exchanged_at_once(project: Any, ask: Any) -> None:
    text = project.text("app.py").replace("return x + 2", "x += 0\n    x += 0\n    return x + 1")
    both = Candidate({"app.py": text.replace("x * 1", "x * 2")})
    tests = ["test_app.py::test_used", "test_app.py::test_named"]
    with project.screen(failing=["test_app.py::test_used"]) as screen:
        for way in ("swap", "fork", "cold"):
            assert ask(screen, both, tests, way=way).passed
        assert screen.ways == {"swap": 1, "fork": 1, "cold": 1}
        wrong = Candidate({"app.py": both.files["app.py"].replace("x + 1", "x + 3")})
        assert ask(screen, wrong, tests, way="swap").state is State.FAIL


def test_both_of_two_edits_must_run_to_be_confirmed(project: Any) -> None:
    text = project.text("app.py").replace("x + 2", "x + 1")
    assert project.confirm(Candidate({"app.py": text})).passed
    verdict = project.confirm(Candidate({"app.py": text.replace("x * 1", "x * 3")}))
    assert verdict.state is State.SUSPICIOUS, verdict


def test_what_the_original_does_is_no_news(project: Any, ask: Any) -> None:
    with project.screen(failing=["test_app.py::test_used"]) as screen:
        edit = project.edit("app.py", "co_name", "co_name + str()")
        assert ask(screen, edit, ["test_app.py::test_named"]).passed
