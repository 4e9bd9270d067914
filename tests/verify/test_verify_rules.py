"""Routes, static rules, deadlines and judgements: pure functions."""

from __future__ import annotations

import ast
import json
import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.types import State
from diffufix.verify.deadlines import Deadlines
from diffufix.verify.inside.supervise import Course, Watch
from diffufix.verify.judge import judge
from diffufix.verify.route import Original
from diffufix.verify.static import forbidden, suspicion

SOURCE = textwrap.dedent(
    '''\
    import functools

    LIMIT = 3

    @functools.lru_cache(
        maxsize=None
    )
    def first(a, b=1, *, c: int = 2) -> int:
        """Doc."""
        return a + b

    class Thing:
        def method(self, x):
            def inner(y):
                return y + x
            return inner(x)

        async def other(self): return 1
    '''
)


def swaps(old: str, new: str) -> Any:
    assert SOURCE.count(old) == 1
    return Original(SOURCE.encode()).swaps(SOURCE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("return a + b", "return a - b", ("first", 5)),
        ("return a + b", "if a:\n        return b\n    return a", ("first", 5)),
        ("    return a + b\n", "    return a + b\n    x = 1\n", ("first", 5)),
        ("return y + x", "return y - x", ("method", 13)),
        ("return inner(x)", "return x", ("method", 13)),
        ("def other(self): return 1", "def other(self): return 2", ("other", 18)),
        ("return 1", "return 1; x = 2", ("other", 18)),
        ("return inner(x)\n", "return inner(x)\n\n        def new(self): pass\n", ("method", 13)),
    ],
)
def test_a_change_inside_a_body_is_a_swap(old: str, new: str, expected: Any) -> None:
    assert swaps(old, new) == [(*expected, expected[1])]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("b=1", "b=2"),
        ("c: int", "c: str"),
        ("-> int", "-> str"),
        ("maxsize=None", "maxsize=1"),
        ("Doc.", "Doc"),
        ("def first", "def second"),
        ("async def other", "def other"),
        ("return a + b", "return (a + b"),
        ("    return a + b\n", "    return a + b\nLIMIT = 2\n"),
        ("    return a + b\n", "    return a + b\n\ndef new():\n    pass\n"),
        ("        return inner(x)\n", "        return inner(x)\n\n    def new(self): pass\n"),
        ("return a + b", 'return """'),
        ("    return a + b\n", "    return a + b \\\n"),
        ("import functools\n", "import functools\n\n"),
    ],
)
def test_a_change_outside_of_bodies_is_none(old: str, new: str) -> None:
    assert swaps(old, new) is None


def test_changes_inside_several_bodies_are_swaps() -> None:
    new = SOURCE.replace("return a + b", "if a:\n        return b\n    return a")
    new = new.replace("return 1", "return 2")
    original = Original(SOURCE.encode())
    assert original.swaps(new) == [("first", 5, 5), ("other", 18, 20)]
    places = [(start, end) for _, start, end, _ in original.places("a.py", new)]
    assert places == [(5, 12), (20, 20)]
    for also, instead in (("LIMIT = 3", "LIMIT = 4"), ("x):", "x, z=1):"), ("class Th", "class A")):
        assert original.swaps(new.replace(also, instead, 1)) is None


def test_no_change_is_no_swap() -> None:
    assert Original(SOURCE.encode()).swaps(SOURCE) == []


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_swap_leaves_the_rest_of_the_module_as_it_was(data: st.DataObject) -> None:
    """Whatever is put anywhere: if it is a swap and compiles, only that body differs."""
    start = data.draw(st.integers(0, len(SOURCE)))
    end = data.draw(st.integers(start, min(len(SOURCE), start + 40)))
    pieces = ["x", " ", "\n", "    ", "(", ")", '"', "'''", "\\", ":", "pass", "return 1", "@", "#"]
    middle = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=6)))
    new = SOURCE[:start] + middle + SOURCE[end:]
    found = Original(SOURCE.encode()).swaps(new)
    if not found:
        return
    try:
        after = ast.parse(new)
    except SyntaxError:
        return
    names = {name for name, _, _ in found}
    assert without_bodies(ast.parse(SOURCE), names) == without_bodies(after, names)


def without_bodies(tree: ast.Module, names: set[str]) -> str:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in names:
            node.body = [ast.Pass()]
    return ast.dump(tree)


def test_encodings_and_newlines_survive() -> None:
    data = "# -*- coding: latin-1 -*-\r\nx = 'é'\r\n".encode("latin-1")
    original = Original(data)
    assert original.text.endswith("'é'\r\n")
    assert original.encode(original.text) == data
    broken = Original(b"x = '\xff'\n")
    assert broken.encode(broken.text) == b"x = '\xff'\n"


@pytest.mark.parametrize(
    "line",
    [
        "import os; os._exit(0)",
        "import sys; sys.exit()",
        "sys.modules['x'] = 1",
        "import gc",
        "from inspect import stack",
        "import ctypes.util",
        "import atexit",
        "import pytest",
        "from _pytest import runner",
        "sys._getframe()",
        "def __eq__(self, other): return True",
        "raise SystemExit",
        "exec('x')",
        "x.__class__.__subclasses__()",
        "os.environ['PYTEST_CURRENT_TEST']",
    ],
)
def test_dirty_tricks_are_suspicious(line: str) -> None:
    assert suspicion("x = 1\n", f"x = 1\n{line}\n")
    assert not suspicion(f"{line}\n", f"{line}\nx = 1\n")


def test_honest_code_is_not_suspicious() -> None:
    package = Path(ast.__file__).parent / "json"
    for path in package.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not suspicion(text, text + "\nx = [a.b(c) for a in range(3) if a == 1]\n")


def test_forbidden_paths() -> None:
    for path in ("tests/x.py", "test_a.py", "a/conftest.py", "x.pth", "setup.cfg", "/a", "a/../b"):
        assert forbidden(path)
    assert forbidden("pkg/checks.py", frozenset({"pkg/checks.py"}))
    for path in ("a.py", "pkg/contest.py", "latest_news.py", "src/attests/x.py"):
        assert not forbidden(path)


def test_deadlines_follow_the_measured_durations() -> None:
    times = {"a.py::fast": 0.001, "a.py::slow": 0.1, "b.py::hung": 30.0}
    deadlines = Deadlines(times, failing=["a.py::fast", "b.py::hung"])
    assert deadlines.call("a.py::slow") == pytest.approx(1.03)
    assert deadlines.call("a.py::fast") == pytest.approx(1.03)  # failing: it may do more when right
    assert deadlines.call("b.py::hung") < 3
    assert deadlines.call("a.py::new") == 0.05
    assert Deadlines(times).call("a.py::fast") == 0.05


HONEST: dict[str, Any] = {
    "outcomes": [["passed", ""], ["skipped", "why"]],
    "ready": True,
    "ended": True,
    "timeout": None,
    "status": 0,
    "sentinel": "failed",
    "touched": [],
}


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, State.PASS),
        ({"ended": False}, State.SUSPICIOUS),
        ({"ended": False, "outcomes": [], "status": -11}, State.FAIL),
        ({"ended": False, "outcomes": [], "status": 0, "ready": False}, State.ERROR),
        ({"outcomes": [["passed", ""]]}, State.SUSPICIOUS),
        ({"outcomes": HONEST["outcomes"] + [["passed", ""]]}, State.SUSPICIOUS),
        ({"outcomes": [["failed", "no"]]}, State.FAIL),
        ({"outcomes": [["error", "no"]]}, State.FAIL),
        ({"outcomes": [["skipped", ""]]}, State.SUSPICIOUS),
        ({"outcomes": [["xpassed", ""]]}, State.SUSPICIOUS),
        ({"outcomes": [["passed", ""], ["passed", ""]]}, State.SUSPICIOUS),
        ({"status": 1}, State.SUSPICIOUS),
        ({"sentinel": "passed"}, State.SUSPICIOUS),
        ({"sentinel": None}, State.SUSPICIOUS),
        ({"timeout": "test", "outcomes": [["passed", ""]], "ended": False}, State.TIMEOUT),
        ({"timeout": "start", "ready": False, "outcomes": [], "ended": False}, State.TIMEOUT),
        ({"error": "SyntaxError", "outcomes": [], "ended": False}, State.ERROR),
        ({"quit": "Exit", "outcomes": [], "ended": False}, State.SUSPICIOUS),
        ({"touched": ["conftest.py"]}, State.SUSPICIOUS),
        ({"touched": ["data/cache.db"]}, State.PASS),
        ({"added": ["sitecustomize.py"]}, State.SUSPICIOUS),
        ({"added": ["tests/out.txt"]}, State.PASS),
        ({"forged": "a test out of turn"}, State.SUSPICIOUS),
        ({"audit": "it uses gc"}, State.SUSPICIOUS),
        ({"whole": False}, State.SUSPICIOUS),
        ({"lost": "a stage"}, State.SUSPICIOUS),
        ({"unseen": [["a.py", 3]], "places": 1}, State.SUSPICIOUS),
        ({"unseen": [["a.py", 3]], "places": 2}, State.PASS),
        ({"unseen": [["a.py", 3]], "places": 1, "spawned": True}, State.PASS),
        ({"flood": True, "timeout": "disk", "outcomes": [], "ended": False}, State.FAIL),
    ],
)
def test_judgements(change: dict[str, Any], state: State) -> None:
    verdict = judge({**HONEST, **change}, ["t::a", "t::b"], ["passed", "skipped"], 0.1)
    assert verdict.state is state, verdict


REQUEST = {
    "nonce": "n" * 32,
    "tests": ["a", "b"],
    "required": ["passed", "passed"],
    "sentinel": 1,
    "stop": True,
    "start": 1.0,
    "setup": [1.0, 1.0],
    "call": [1.0, 1.0],
    "places": [],
}
END = {"event": "end", "sentinel": "failed", "unseen": [], "spawned": False}


def passed(index: int) -> dict[str, Any]:
    return {"event": "test", "index": index, "outcome": "passed", "message": ""}


RUN = [{"event": "ready"}, passed(0), {"event": "sentinel"}, passed(1), END]


def course(records: list[dict[str, Any]], nonce: str = "n" * 32) -> dict[str, Any]:
    made = Course(REQUEST, Watch(os.getpid(), 1.0))
    made.feed(b"".join(f"{nonce} {json.dumps(record)}\n".encode() for record in records))
    return made.report


def test_an_honest_run_is_no_forgery() -> None:
    report = course(RUN)
    assert "forged" not in report
    assert report["ended"]
    assert [outcome for outcome, _ in report["outcomes"]] == ["passed", "passed"]


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(len(RUN))), st.integers(0, len(RUN)))
def test_any_other_order_or_length_is_no_end(order: list[int], length: int) -> None:
    records = [RUN[index] for index in order][:length]
    report = course(records)
    assert records == RUN or "forged" in report or not report["ended"]


@pytest.mark.parametrize(
    "extra", [passed(1), END, {"event": "ready"}, {"event": "x"}, {}, passed(7)]
)
def test_a_record_too_many_is_a_forgery(extra: dict[str, Any]) -> None:
    assert "forged" in course([*RUN, extra])
    assert "forged" in course([*RUN[:2], extra, *RUN[2:]])


def test_other_writers_are_forgers() -> None:
    assert "forged" in course(RUN, nonce="m" * 32)
