"""`suspects` on a real run of a project with four planted bugs, and on made-up runs."""

from __future__ import annotations

import math
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffufix.localize import groups, suspects
from diffufix.localize.source import read_source
from diffufix.localize.suspects import (
    FIRST,
    SPECTRUM,
    STATEMENTS,
    SURE,
    TRACEBACK,
    ochiai,
)
from diffufix.testing import run_tests
from diffufix.types import Frame, TestCase, TestRun

FILES = {
    "depot/__init__.py": "from depot.stock import Depot\n",
    "depot/stock.py": '''
        """What lies where."""

        import functools

        from depot import money, route


        class Depot:
            def __init__(self, shelves):
                self.shelves = dict.fromkeys(shelves, 0)

            def put(self, shelf, count):
                self._check(shelf)
                self.shelves[shelf] += count

            def take(self, shelf, count):
                self._check(shelf)
                if self.shelves[shelf] <= count:  # planted: <
                    raise ValueError(f"only {self.shelves[shelf]} left")
                self.shelves[shelf] -= count
                return count

            def _check(self, shelf):
                if shelf not in self.shelves:
                    raise KeyError(shelf)

            @property
            def total(self):
                return functools.reduce(
                    lambda a, b: a + b,
                    self.shelves.values(),
                    0,
                )

            def bill(self, prices):
                return money.show(
                    sum(prices[name] * count for name, count in self.shelves.items())
                )

            def tour(self, distances):
                return route.shortest(distances, sorted(self.shelves))
        ''',
    "depot/money.py": '''
        def show(cents):
            """Cents as text."""
            sign = "-" if cents < 0 else ""
            whole, part = divmod(abs(cents), 10)  # planted: 100
            return f"{sign}{grouped(whole)}.{part:02d}"


        def grouped(number):
            text = str(number)
            parts = []
            while text:
                parts.insert(0, text[-3:])
                text = text[:-3]
            return ",".join(parts)


        def parse(text):
            sign = -1 if text.startswith("-") else 1
            whole, _, part = text.lstrip("-").partition(".")
            return sign * int(whole) * 100 + int(part or 0)  # planted: (... + ...)
        ''',
    "depot/route.py": """
        def shortest(distances, places):
            def length(tour):
                return sum(distances[pair] for pair in zip(tour, tour[1:]))

            return min(orders(places), key=length)


        def orders(places):
            if not places:
                return []  # planted: [[]]
            return [
                [first, *rest]
                for index, first in enumerate(places)
                for rest in orders(places[:index] + places[index + 1 :])
            ]
        """,
    "tests/test_depot.py": """
        import pytest
        from depot import Depot, money, route


        @pytest.fixture
        def depot():
            depot = Depot(["a", "b"])
            depot.put("a", 3)
            return depot


        def test_put(depot): assert depot.shelves == {"a": 3, "b": 0}
        def test_total(depot): assert depot.total == 3
        def test_take(depot): assert depot.take("a", 2) == 2
        def test_take_all(depot): assert depot.take("a", 3) == 3
        def test_take_too_much(depot):
            with pytest.raises(ValueError): depot.take("b", 1)
        def test_unknown(depot):
            with pytest.raises(KeyError): depot.put("c", 1)
        def test_bill(depot): assert depot.bill({"a": 150, "b": 1}) == "4.50"
        def test_grouped(): assert money.grouped(1234567) == "1,234,567"
        def test_grouped_small(): assert money.grouped(12) == "12"
        def test_show_little(): assert money.show(-5) == "-0.05"
        def test_show_more(): assert money.show(123456) == "1,234.56"
        def test_parse(): assert money.parse("12.50") == 1250
        def test_parse_whole(): assert money.parse("-3") == -300
        def test_parse_negative(): assert money.parse("-1.25") == -125
        def test_orders(): assert len(route.orders([1, 2, 3])) == 6
        def test_tour(depot): assert depot.tour({("a", "b"): 1, ("b", "a"): 2}) == ["a", "b"]
        """,
}


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def depot(tmp_path_factory: pytest.TempPathFactory) -> TestRun:
    root = write(tmp_path_factory.mktemp("depot"), FILES)
    return run_tests(root, ["-q"], python=Path(sys.executable), coverage=True)


PLANTED = {
    "Depot.take": ["test_take_all"],
    "show": ["test_bill", "test_show_more"],
    "parse": ["test_parse_negative"],
    "orders": ["test_orders", "test_tour"],
}


def test_the_project_fails_as_planted(depot: TestRun) -> None:
    failing = {case.id.partition("::")[2] for case in depot.red}
    assert failing == {name for names in PLANTED.values() for name in names}


def test_the_ranking(depot: TestRun) -> None:
    found = suspects(depot, root=depot.root)
    assert {"Depot.take", "show", "orders"} <= {suspect.qualname for suspect in found[:5]}
    assert [suspect.score for suspect in found] == sorted(
        (suspect.score for suspect in found), reverse=True
    )
    assert not any(suspect.path.startswith("tests/") for suspect in found)
    assert all(0 <= suspect.score <= 1 for suspect in found)
    assert len(suspects(depot, root=depot.root, limit=3)) == 3


@pytest.mark.parametrize("only", ["depot/money.py::parse", "parse", "depot/money.py"])
def test_only_what_was_asked_for(depot: TestRun, only: str) -> None:
    found = suspects(depot, root=depot.root, only=only)
    assert {suspect.path for suspect in found} == {"depot/money.py"}
    assert found == [
        suspect
        for suspect in suspects(depot, root=depot.root, limit=99)
        if suspect.path == "depot/money.py"
        and (only.endswith(".py") or suspect.qualname == "parse")
    ]
    assert suspects(depot, root=depot.root, only="nothing") == []


def test_all_four_bugs_are_among_the_first_of_their_group(depot: TestRun) -> None:
    found = groups(depot, root=depot.root)
    assert sorted(id for ids in found for id in ids) == sorted(case.id for case in depot.red)
    assert any(
        {"test_bill", "test_show_more"} == {id.partition("::")[2] for id in ids} for ids in found
    )
    first = [
        suspect.qualname
        for ids in found
        for suspect in suspects(depot, root=depot.root, failing=ids, limit=3)
    ]
    assert set(PLANTED) <= set(first)


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_each_bug_by_its_own_tests(depot: TestRun, name: str) -> None:
    failing = [f"tests/test_depot.py::{test}" for test in PLANTED[name]]
    found = suspects(depot, root=depot.root, failing=failing, limit=3)
    assert name in [suspect.qualname for suspect in found]
    suspect = next(suspect for suspect in found if suspect.qualname == name)
    source = (depot.root / suspect.path).read_text().splitlines()
    (planted,) = [
        number
        for number in range(suspect.first_line, suspect.last_line + 1)
        if "planted" in source[number - 1]
    ]
    assert suspect.lines[planted] > 0
    assert f"{len(failing)} of {len(failing)} failing" in suspect.evidence


def test_an_exception_counts_where_it_was_raised(depot: TestRun) -> None:
    (suspect,) = suspects(
        depot, root=depot.root, failing=["tests/test_depot.py::test_take_all"], limit=1
    )
    assert suspect.qualname == "Depot.take"
    assert "ValueError: only 3 left raised at line" in suspect.evidence


def test_statements_over_several_lines_and_nested_functions(depot: TestRun) -> None:
    found = {suspect.qualname: suspect for suspect in suspects(depot, root=depot.root, limit=99)}
    shortest = found["shortest"]
    assert (shortest.first_line, shortest.last_line) == (1, 5)
    assert 1 not in shortest.lines, "the signature runs at import"
    assert "length" not in found
    bill = found["Depot.bill"]
    assert len(bill.lines) == 3
    assert len(set(bill.lines.values())) == 1
    assert "Depot.total" not in found, "no failing test runs it"


def test_faults_of_modules(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "shop/__init__.py": "",
            "shop/rates.py": "def rate(n):\n    return 1 / n\n\n\nBASE = rate(\n    0,\n)\n",
            "shop/names.py": "class Names:\n    first = 'a'\n    both = first + 1\n",
            "shop/torn.py": "def f(:\n",
            "tests/test_rates.py": "from shop import rates\n",
            "tests/test_names.py": "from shop import names\n",
            "tests/test_torn.py": "from shop import torn\n",
            "tests/test_gone.py": "import no_such_module\n",
        },
    )
    run = run_tests(root, [], python=Path(sys.executable), coverage=True)
    found = suspects(run, root=root, failing=["tests/test_rates.py"])
    assert [(each.path, each.qualname) for each in found] == [
        ("shop/rates.py", "rate"),
        ("shop/rates.py", "<module>"),
    ]
    assert found[0].lines == {2: 1.0}
    assert set(found[1].lines) == {5, 6, 7}
    (names,) = suspects(run, root=root, failing=["tests/test_names.py"])
    assert (names.qualname, dict(names.lines)) == ("<module>", {1: 1.0, 3: 1.0})
    unreached = ("tests/test_gone.py", "tests/test_torn.py")
    assert suspects(run, root=root, failing=unreached) == []
    assert set(groups(run, root=root)) == {
        ("tests/test_rates.py",),
        ("tests/test_names.py",),
        unreached,
    }


def made_up(
    root: Path, coverage: dict[str, dict[str, set[int]]], red: dict[str, list[Frame]]
) -> TestRun:
    cases = tuple(
        TestCase(id, "failed" if id in red else "passed", 0.1, frames=tuple(red.get(id, ())))
        for id in coverage
    )
    lines = {
        id: {path: frozenset(numbers) for path, numbers in files.items()}
        for id, files in coverage.items()
    }
    return TestRun(root, (), cases, 1, 1.0, coverage=lines)


def test_a_failing_test_without_project_code(tmp_path: Path) -> None:
    root = write(tmp_path, {"test_a.py": "def test_a():\n    assert 0\n"})
    frames = [Frame("test_a.py", 2, "test_a")]
    run = made_up(root, {"test_a.py::test_a": {"test_a.py": {2}}}, {"test_a.py::test_a": frames})
    assert suspects(run, root=root) == []


def test_what_counts_as_a_test_file(tmp_path: Path) -> None:
    code = "def f():\n    return 1\n"
    paths = ["mod.py", "conftest.py", "check_it.py", "it_test.py", "a/tests/util.py", "latest.py"]
    root = write(
        tmp_path,
        {
            **dict.fromkeys(paths, code),
            "it_test.py": code + "\n\ndef test_f():\n    pass\n",
            "a/tests/test_a.py": "def test_a():\n    pass\n",
        },
    )
    files = {path: {2} for path in paths}
    run = made_up(
        root,
        {"check_it.py::test_x": files, "mod.py::mod.f": files, "latest.py::latest": files},
        {"check_it.py::test_x": []},
    )
    found = {suspect.path for suspect in suspects(run, root=root)}
    assert found == {"mod.py", "latest.py"}


def test_the_deeper_frame_comes_first_then_the_function_with_more_code(tmp_path: Path) -> None:
    text = """
    def long(x):
        a = x
        b = a
        return b

    def short(x):
        return x

    def outer(x):
        return short(x)
    """
    root = write(tmp_path, {"mod.py": text})
    run = made_up(root, {"t.py::t": {"mod.py": {2, 3, 4, 7, 10}}}, {"t.py::t": []})
    names = [suspect.qualname for suspect in suspects(run, root=root)]
    assert names == ["long", "short", "outer"]
    frames = [Frame("mod.py", 10, "outer"), Frame("mod.py", 2, "long")]
    run = made_up(root, {"t.py::t": {"mod.py": {2, 3, 4, 7, 10}}}, {"t.py::t": frames})
    found = suspects(run, root=root)
    assert [suspect.qualname for suspect in found] == ["long", "outer", "short"]
    logits = [math.log(suspect.score / (1 - suspect.score)) for suspect in found]
    certain = FIRST + SPECTRUM * math.log(SURE / (1 - SURE))
    expected = [
        certain + TRACEBACK / distance + STATEMENTS * math.log1p(statements)
        for distance, statements in ((1, 3), (2, 1), (math.inf, 1))
    ]
    assert logits == pytest.approx(expected)


def test_lambdas_of_a_module_and_imports_inside_tests(tmp_path: Path) -> None:
    root = write(
        tmp_path, {"mod.py": "import os\nKEYS = sorted(\n    'ab', key=lambda k: -ord(k)\n)\n"}
    )
    run = made_up(root, {"t.py::t": {"mod.py": {1, 3}}}, {"t.py::t": []})
    (suspect,) = suspects(run, root=root)
    assert (suspect.qualname, set(suspect.lines)) == ("<module>", {2, 3, 4})


def test_encodings_and_broken_files(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes(
        "# coding: latin-1\ndef f():\n    return 'é'\n".encode("latin-1")
    )
    (tmp_path / "bom.py").write_bytes(b"\xef\xbb\xbfdef f():\r\n    return 1\r\n")
    (tmp_path / "torn.py").write_bytes(b"def f(:\n")
    (tmp_path / "bytes.py").write_bytes(b"x = '\xff'\n")
    (tmp_path / "null.py").write_bytes(b"x = 1\0\n")
    for name in ("latin.py", "bom.py"):
        source = read_source(tmp_path / name)
        assert source is not None
        assert [function.qualname for function in source.functions] == ["f"]
    for name in ("torn.py", "bytes.py", "null.py", "missing.py"):
        assert read_source(tmp_path / name) is None


def test_functions_of_a_source(tmp_path: Path) -> None:
    text = """
    import functools

    @functools.cache
    def plain(
        a,
    ):
        '''Text.'''
        if a:
            return [
                1,
            ]
        else:
            def inner():
                return 2
            return inner

    class A:
        @property
        def x(self): return 1
        class B:
            async def y(self):
                match self:
                    case None:
                        pass

    try:
        def guarded(): pass
    except ImportError:
        def guarded(): return 1
    """
    source = read_source(write(tmp_path, {"mod.py": text}) / "mod.py")
    assert source is not None
    assert [function.qualname for function in source.functions] == [
        "plain",
        "A.x",
        "A.B.y",
        "guarded",
        "guarded",
    ]
    plain = source.functions[0]
    assert (plain.first_line, plain.last_line) == (3, 15)
    assert plain.statements[9] == plain.statements[10] == (9, 11)
    assert plain.statements[8] == (8, 8)
    assert source.owner(13) is plain
    assert source.owner(1) is source.module


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_ochiai(ef: int, nf: int, ep: int) -> None:
    value = ochiai(ef, nf, ep)
    assert 0 <= value <= 1
    assert (value == 0) == (ef == 0)
    assert math.isclose(value, 1) == (ef > 0 and nf == ep == 0)
    assert ochiai(ef, nf, ep + 1) <= value <= ochiai(ef + 1, nf, ep)
