"""Functions that were called by the import: a hasty run says soon who fails, never who passes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diffufix.repair.types import Status
from diffufix.types import State
from diffufix.verify import ValidatorPool
from tests.support.scripted import repair

PROJECT = {
    "tariff.py": """
        def fare(age):
            return 10 if age < 15 else 5

        TABLE = [fare(10), fare(20)]

        def seat(age):
            return "own" if age > 3 else "lap"
        """,
    "test_tariff.py": """
        from tariff import TABLE, fare, seat

        def test_fare(): assert fare(10) == 5
        def test_table(): assert TABLE == [5, 10]
        def test_seat(): assert (seat(2), seat(9)) == ("lap", "own")
        """,
}
WRONG, RIGHT = ("age < 15", "age < 5"), ("age < 15", "age > 15")


@pytest.fixture(scope="module")
def project(make_project: Any) -> Any:
    return make_project(PROJECT)


@pytest.fixture(scope="module")
def screen(project: Any) -> Iterator[ValidatorPool]:
    with project.screen() as screen:
        yield screen


def test_a_failure_is_provisional(project: Any, screen: ValidatorPool, ask: Any) -> None:
    tests = ["test_tariff.py::test_fare", "test_tariff.py::test_table"]
    for edit in (WRONG, RIGHT):
        verdict = ask(screen, project.edit("tariff.py", *edit), tests, hasty=True)
        assert (verdict.state, verdict.provisional) == (State.FAIL, True)
    assert screen.ways == {"swap": 2}
    assert ask(screen, project.edit("tariff.py", *RIGHT), tests).passed


def test_who_passes_is_run_again(project: Any, screen: ValidatorPool, ask: Any) -> None:
    before = screen.ways["fork"]
    edited = project.edit("tariff.py", "age < 15", "age > 14")
    verdict = ask(screen, edited, ["test_tariff.py::test_fare"], hasty=True)
    assert verdict.passed
    assert not verdict.provisional
    assert screen.ways["fork"] == before + 1


def test_a_function_that_was_not_called_is_swapped_for_good(
    project: Any, screen: ValidatorPool, ask: Any
) -> None:
    edited = project.edit("tariff.py", "age > 3", "age > 30")
    verdict = ask(screen, edited, ["test_tariff.py::test_seat"], hasty=True)
    assert (verdict.state, verdict.provisional) == (State.FAIL, False)


def test_an_edit_that_is_not_executed_does_not_pass(
    project: Any, screen: ValidatorPool, ask: Any
) -> None:
    edited = project.edit("tariff.py", "age > 3", "age > 30")
    verdict = ask(screen, edited, ["test_tariff.py::test_table"], hasty=True)
    assert verdict.state is State.FAIL  # red without the edit, and with it
    with project.screen(expected={"test_tariff.py::test_table": "failed"}, failing=[]) as other:
        verdict = ask(other, edited, ["test_tariff.py::test_table"], hasty=True)
    assert verdict.state is State.SUSPICIOUS
    assert "never executed" in verdict.detail


CLOSURES = {
    "made.py": """
        def make(name):
            class Kind:
                def show(self, value):
                    return [one for one in value if one != 3]
                def name(self):
                    return name
            return Kind

        def counted(function):
            def inner(*args):
                inner.calls += 1
                return function(*args) + 1
            inner.calls = 0
            return inner

        Plain = make("plain")

        @counted
        def double(value):
            return 2 * value
        """,
    "test_made.py": """
        from made import Plain, double

        def test_show(): assert Plain().show([1, 2]) == [2]
        def test_name(): assert Plain().name() == "plain"
        def test_double(): assert double(3) == 6
        """,
}


@pytest.mark.parametrize(
    ("old", "new", "test", "passes"),
    [
        ("one != 3", "one != 1", "show", True),
        ("one != 3", "one != 2", "show", False),
        ("if one != 3]", "if (lambda x: x > 1)(one)]", "show", True),
        ("return name", "return name + '!'", "name", False),
        ("function(*args) + 1", "function(*args)", "double", True),
        ("function(*args) + 1", "function(*args) + 2", "double", False),
        ("+ 1\n    inner.calls", "+ name\n    inner.calls", "double", False),
    ],
)
def test_closures_that_are_alive_get_their_new_code(
    make_project: Any, ask: Any, old: str, new: str, test: str, passes: bool
) -> None:
    project = make_project(CLOSURES)
    with project.screen() as screen:
        edited = project.edit("made.py", old, new)
        verdict = ask(screen, edited, [f"test_made.py::test_{test}"], hasty=True)
        assert verdict.passed is passes
        assert verdict.provisional is not passes
        assert screen.ways == ({"swap": 1, "fork": 1} if passes else {"swap": 1})


def test_a_search_tries_it_again_faithfully(tmp_path: Path) -> None:
    files = {name: textwrap.dedent(text) for name, text in PROJECT.items()}
    files["test_tariff.py"] = (
        "from tariff import TABLE, fare\n\n"
        "def test_both(): assert (fare(10), TABLE) == (5, [5, 10])\n"
    )
    result, _ = repair(tmp_path, files, [WRONG, RIGHT], budget=600.0)
    assert result.status is Status.REPAIRED
    assert result.patch is not None
    assert "age > 15" in result.patch.diff
    assert result.tried == 2
