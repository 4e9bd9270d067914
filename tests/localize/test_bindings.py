"""What was bound outside of functions is suspected by who reads it. On made-up runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffufix.localize import suspects
from diffufix.types import SuspiciousFunction, TestCase, TestRun

FILES = {
    "shop/__init__.py": "",
    "shop/tables.py": """\
TAXES = {
    "book": 7,
    "pen": 19,
}
OTHER = 3
ALL = [*TAXES] + [OTHER]
""",
    "shop/prices.py": """\
import re
from shop import tables
from shop.tables import TAXES

CODE = re.compile(r"[a-z]+")


class Till:
    currency = "EUR"
    places = 2

    def total(self, kind, net):
        return net * TAXES[kind]

    def show(self, value):
        return str(value) + self.currency

    def read(self, text):
        return CODE.match(text)

    def round(self, value, digits=3):
        return round(value, digits)

    def kinds(self):
        return tables.ALL
""",
}


def found(root: Path, failing: int, passing: int = 0) -> list[SuspiciousFunction]:
    """The suspects where one failing test runs this line of prices.py, and a passing one that."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    cases = (
        TestCase("tests/test_a.py::test_bad", "failed", 0.1, "AssertionError: assert 1 == 2"),
        TestCase("tests/test_a.py::test_good", "passed", 0.1),
    )
    lines: dict[str, dict[str, frozenset[int]]] = {
        cases[0].id: {"shop/prices.py": frozenset({failing})},
        cases[1].id: {"shop/prices.py": frozenset({passing})} if passing else {},
    }
    return suspects(TestRun(root, (), cases, 1, 1.0, coverage=lines), root=root)


def line(path: str, text: str) -> int:
    return FILES[path][: FILES[path].index(text)].count("\n") + 1


@pytest.mark.parametrize(
    ("reader", "path", "bound"),
    [
        ("TAXES[kind]", "shop/tables.py", "TAXES = {"),
        ("self.currency", "shop/prices.py", "currency = "),
        ("CODE.match", "shop/prices.py", "CODE = "),
    ],
)
def test_what_an_executed_line_reads_is_a_suspect(
    tmp_path: Path, reader: str, path: str, bound: str
) -> None:
    ranked = found(tmp_path, line("shop/prices.py", reader))
    module = next(s for s in ranked if s.qualname == "<module>")
    assert ranked.index(module) == 1
    assert module.path == path
    assert line(path, bound) in module.lines
    assert line(path, bound) + 5 not in module.lines
    assert module.evidence.startswith("read by 1 of 1 failing and 0 of 1 passing tests")


def test_a_table_of_several_lines_is_suspected_in_all_of_them(tmp_path: Path) -> None:
    ranked = found(tmp_path, line("shop/prices.py", "TAXES[kind]"))
    module = next(s for s in ranked if s.qualname == "<module>")
    assert set(module.lines) == {1, 2, 3, 4}


def test_what_a_table_was_made_of_is_suspected_less(tmp_path: Path) -> None:
    ranked = found(tmp_path, line("shop/prices.py", "tables.ALL"))
    module = next(s for s in ranked if s.qualname == "<module>")
    assert module.path == "shop/tables.py"
    direct, made_of = (module.lines[line("shop/tables.py", text)] for text in ("ALL =", "TAXES ="))
    assert 0 < made_of < direct


def test_what_passing_tests_read_too_is_less_suspicious(tmp_path: Path) -> None:
    reader = line("shop/prices.py", "CODE.match")
    alone, both = (
        next(s for s in found(tmp_path, reader, passing) if s.qualname == "<module>")
        for passing in (0, reader)
    )
    assert both.score < alone.score


def test_default_values_of_what_was_executed_are_suspected(tmp_path: Path) -> None:
    ranked = found(tmp_path, line("shop/prices.py", "return round"))
    assert ranked[0].qualname == "Till.round"
    lines = ranked[0].lines
    assert 0 < lines[line("shop/prices.py", "digits=3")] < lines[line("shop/prices.py", "return r")]


def test_what_made_the_object_is_suspected_though_it_ran_at_import(tmp_path: Path) -> None:
    text = "class Box:\n    def __init__(self):\n        self.size = 3\n\n"
    text += "    def show(self):\n        return self.size\n\nBOX = Box()\n"
    (tmp_path / "box.py").write_text(text)
    cases = (TestCase("tests/test_box.py::test_size", "failed", 0.1, "AssertionError"),)
    lines = {cases[0].id: {"box.py": frozenset({6})}}
    ranked = suspects(TestRun(tmp_path, (), cases, 1, 1.0, coverage=lines), root=tmp_path)
    assert [s.qualname for s in ranked][:2] == ["Box.show", "Box.__init__"]
    assert set(ranked[1].lines) == {3}
