"""What a docstring's examples say, and that they say it as tests of the project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from diffufix.generate.examples import examples_of
from diffufix.generate.stubs import functions_of
from diffufix.generate.suite import ExampleTests, dotted, test_paths, uses_mypy


def claims(docstring: str, name: str = "f", head: str = "def f(a, b=0):") -> list[tuple[str, str]]:
    source = f'{head}\n    r"""{docstring}"""\n'
    function = next(f for f in functions_of("m.py", source) if f.name == name)
    return [(e.call, e.value or e.raises) for e in examples_of(function) if not e.steps]


@pytest.mark.parametrize(
    ("docstring", "found"),
    [
        ("f(2) -> 4", [("f(2)", "4")]),
        ("`f(2)` returns `4`.", [("f(2)", "4")]),
        ("Example: f('a, b', b=1) == ['a', 'b'], as said", [("f('a, b', b=1)", "['a', 'b']")]),
        ("f(-1) raises ValueError.", [("f(-1)", "ValueError")]),
        ("Examples:\n        f([1, 2]) => (1, 2.5)\n        f([]) gives None", [
            ("f([1, 2])", "(1, 2.5)"), ("f([])", "None")]),
        ("Returns\n-------\nint\n    f(3) is True", [("f(3)", "True")]),
        ("assert f(1) == 2", [("f(1)", "2")]),
        ("f(n) -> 0 for every n", []),
        ("f(x) -> int", []),
        ("f(2) is fine", []),
        ("half(2) -> 1", []),
        ("f(2 -> 4", []),
        ("As a list. f(2) -> [2]", [("f(2)", "[2]")]),
    ],
)  # fmt: skip
def test_prose(docstring: str, found: list[tuple[str, str]]) -> None:
    assert claims(docstring) == found


def test_several_in_one_line() -> None:
    assert claims("f(5) -> 3, f(1) -> 1 and f(0) gives 0") == [
        ("f(5)", "3"), ("f(1)", "1"), ("f(0)", "0"),
    ]  # fmt: skip


def test_doctests_are_sessions() -> None:
    source = (
        'def f(a):\n    """\n    >>> x = [1]\n    >>> f(x)\n    1\n    >>> f([])\n    0\n    """\n'
    )
    found = examples_of(functions_of("m.py", source)[0])
    assert [e.text for e in found] == ["f(x)", "f([])"]
    assert [len(e.steps) for e in found] == [2, 3]


MODULE = '''def add(a, b):
    """Sum.

    >>> add(1, 2)
    3
    >>> add("a", 1)
    Traceback (most recent call last):
    ...
    TypeError: no

    add(2, 2) -> 4, add(0.1, 0.2) -> 0.3
    """
    if isinstance(a, str):
        raise TypeError("no")
    return a + b


async def later(x):
    """later(3) -> 3"""
    return x


def numbers(n):
    """
    >>> list(numbers(2))
    [0, 1]
    >>> numbers(2)  # doctest: +ELLIPSIS
    <generator ...>
    >>> list(numbers(3))
    [0, 1]
    """
    yield from range(n)


class Box:
    def size(self):
        """Box().size() -> 2"""
        return 2
'''


def test_examples_run_as_tests_beside_the_projects_own(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    (tmp_path / "pkg" / "m.py").write_text(MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_m.py").write_text("def test_it():\n    pass\n")
    found = [
        e for f in functions_of("pkg/m.py", MODULE) for e in examples_of(f, {"Box"})
    ]  # fmt: skip
    suite = ExampleTests(tmp_path, found, ["pkg/m.py"])
    suite.lay(tmp_path)
    assert dotted(tmp_path, "pkg/m.py") == (".", "pkg.m")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *suite.args(tmp_path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert "10 passed, 1 failed" in done.stdout or "1 failed, 10 passed" in done.stdout, done.stdout
    assert "test_example[pkg/m.py:numbers-3]" in done.stdout
    assert "expected [0, 1], got [0, 1, 2]" in done.stdout
    assert all(f"PASSED {id_}" in done.stdout or "numbers-3" in id_ for id_ in suite.by_id)


def test_configuration_is_read_where_pytest_reads_it(tmp_path: Path) -> None:
    assert test_paths(tmp_path) == ()
    (tmp_path / "a").mkdir()
    (tmp_path / "setup.cfg").write_text("[tool:pytest]\ntestpaths = a b\n[mypy]\n")
    assert test_paths(tmp_path) == ("a",)
    assert uses_mypy(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert test_paths(tmp_path) == ()
