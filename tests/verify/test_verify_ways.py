"""The three ways of screening say the same of the same edit, on code of every kind."""

from __future__ import annotations

import ast
import random
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from diffufix.types import Candidate
from diffufix.verify import ValidatorPool

PROJECT = {
    "src/zoo/__init__.py": "from zoo.core import *  # noqa",
    "src/zoo/core.py": """
        from __future__ import annotations

        import contextlib
        import functools

        REGISTRY = {}


        def register(function):
            REGISTRY[function.__name__] = function
            return function


        def twice(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args) + function(*args) * 1
            return wrapper


        def start():
            return 10 + 1


        START = start()


        def adder(step):
            def add(value):
                return value + step + 0
            return add


        add_two = adder(1 + 1)


        @twice
        def area(width, height):
            return width * height + 0


        @register
        def hello(name):
            return "hello " + name * 1


        @functools.lru_cache(maxsize=None)
        def fib(n):
            return n if n < 2 else fib(n - 1) + fib(n - 2)


        def evens(limit):
            for n in range(0, limit):
                if n % 2 == 0:
                    yield n + 0


        @contextlib.contextmanager
        def noted(log):
            log.append(1)
            yield log
            log.append(2 + 0)


        class Base:
            scale = 2

            def __init__(self, size):
                self.size = size + 0

            def grow(self):
                return self.size * self.scale


        class Beast(Base):
            def __init__(self, size, legs=4):
                super().__init__(size + 1)
                self.legs = legs

            def grow(self):
                bonus = [leg + 0 for leg in range(self.legs)]
                return super().grow() + sum(bonus)

            @property
            def weight(self):
                return self.size * self.legs + 3

            @weight.setter
            def weight(self, value):
                self.size = value // self.legs

            @classmethod
            def small(cls):
                return cls(1 + 0)

            @staticmethod
            def noise(times):
                return "ro" + "o" * times

            def __lt__(self, other):
                return self.size < other.size


        def cases():
            return [1, 2 + 0]


        def lazily(value):
            from zoo.lazy import half
            return half(value) + 0
        """,
    "src/zoo/lazy.py": """
        def half(value):
            return value // 2 + 0
        """,
    "src/early.py": """
        def answer():
            return 40 + 2
        """,
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["src"]\n',
    "tests/conftest.py": """
        import pytest
        from early import answer

        @pytest.fixture(scope="module")
        def everything():
            return answer()
        """,
    "tests/test_zoo.py": """
        import subprocess
        import sys
        import pytest
        import zoo
        from zoo import *
        from zoo.core import START, Beast, cases

        def test_decorated(): assert area(2, 3) == 12
        def test_start(): assert START == 11
        def test_closure(): assert add_two(1) == 3 and adder(5)(1) == 6
        def test_registry(): assert zoo.core.REGISTRY["hello"]("you") == "hello you"
        def test_cache(): assert [fib(n) for n in range(8)] == [0, 1, 1, 2, 3, 5, 8, 13]
        def test_generator(): assert list(evens(7)) == [0, 2, 4, 6]
        def test_context():
            log = []
            with noted(log):
                assert log == [1]
            assert log == [1, 2]
        def test_super(): assert Beast(2).grow() == 12
        def test_property():
            beast = Beast(2)
            assert beast.weight == 15
            beast.weight = 40
            assert beast.size == 10
        def test_methods():
            assert Beast.small().size == 2 and Beast.noise(2) == "rooo"
            assert Beast(1) < Beast(2) and not Beast(2) < Beast(2)
        @pytest.mark.parametrize("case", cases())
        def test_cases(case): assert case in (1, 2)
        def test_lazy(): assert lazily(9) == 4
        def test_early(everything): assert everything == 42
        """,
}


class Bump(ast.NodeTransformer):
    """Change the `index`-th thing that can be changed below a function."""

    def __init__(self, index: int) -> None:
        self.index = index

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        changeable = isinstance(node, (ast.BinOp, ast.Compare)) or (
            isinstance(node, ast.Constant) and type(node.value) is int
        )
        if changeable:
            self.index -= 1
            if self.index == -1:
                return change(node)
        return node


def change(node: ast.AST) -> ast.AST:
    if isinstance(node, ast.BinOp):
        node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
    elif isinstance(node, ast.Compare):
        node.ops = [ast.GtE() if isinstance(node.ops[0], ast.Lt) else ast.Lt()]
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        node.value += 1
    return node


def mutants(text: str) -> Iterator[str]:
    """Each with one change, laid over the original's own lines."""
    before = ast.unparse(ast.parse(text))
    index = 0
    while True:
        after = ast.unparse(Bump(index).visit(ast.parse(text)))
        if after == before:
            return
        yield after
        index += 1


@pytest.fixture(scope="module")
def zoo(make_project: Any) -> Any:
    files = dict(PROJECT)
    for path in ("src/zoo/core.py", "src/zoo/lazy.py", "src/early.py"):
        files[path] = ast.unparse(ast.parse(textwrap.dedent(files[path])))
    return make_project(files)


@pytest.fixture(scope="module")
def screen(zoo: Any) -> Iterator[ValidatorPool]:
    with zoo.screen(workers=2) as screen:
        yield screen


def test_all_is_green_at_first(zoo: Any) -> None:
    assert set(zoo.baseline.values()) == {"passed"}


def judged(zoo: Any, screen: ValidatorPool, asked: list[Any]) -> dict[tuple[str, str | None], Any]:
    tokens, verdicts = {}, {}
    while asked or screen.pending:
        while asked and screen.capacity:
            candidate, way = asked.pop()
            tokens[screen.submit(candidate, zoo.tests, way=way)] = candidate.key, way
        for token, verdict in screen.results(None):
            verdicts[tokens[token]] = verdict
    return verdicts


def disagree(verdicts: dict[tuple[str, str | None], Any], candidate: Candidate) -> bool:
    said = [verdicts.get((candidate.key, way)) for way in (None, "fork", "cold")]
    return len({str((v.state, v.outcomes)) for v in said if v is not None}) > 1


def test_the_ways_agree(zoo: Any, screen: ValidatorPool) -> None:
    candidates = [
        Candidate({path: text})
        for path in ("src/zoo/core.py", "src/zoo/lazy.py", "src/early.py")
        for text in mutants(zoo.text(path))
    ]
    assert len(candidates) > 60
    sample = random.Random(3).sample(candidates, 12)
    asked = [(candidate, way) for candidate in candidates for way in (None, "fork")]
    asked += [(candidate, "cold") for candidate in sample]
    verdicts = judged(zoo, screen, asked)
    different = [c for c in candidates if disagree(verdicts, c)]
    # a deadline that passed on a busy machine is no disagreement
    verdicts |= judged(zoo, screen, [(c, way) for c in different for way in (None, "fork", "cold")])
    apart = [
        {way: verdicts[c.key, way] for way in (None, "fork", "cold")}
        for c in different
        if disagree(verdicts, c)
    ]
    assert not apart, apart[0]
    states = Counter(verdict.state for verdict in verdicts.values())
    assert states["infra"] == 0
    assert states["fail"] > 60
    assert states["pass"] > 5  # some mutants are equal in meaning
    assert screen.ways["swap"] > 30


@pytest.mark.parametrize(
    ("path", "old", "new", "way"),
    [
        ("src/zoo/core.py", "return width * height", "return height * width", "swap"),
        ("src/zoo/core.py", "return 10 + 1", "return 1 + 10", "fork"),  # called by the import
        ("src/zoo/core.py", "return value + step", "return step + value", "fork"),  # live closure
        ("src/zoo/core.py", "return [1, 2 + 0]", "return [1, 2]", "fork"),  # parametrises
        ("src/zoo/core.py", "scale = 2", "scale = 4 // 2", "fork"),
        ("src/zoo/lazy.py", "value // 2", "int(value / 2)", "swap"),  # not imported yet
        ("src/early.py", "40 + 2", "2 + 40", "swap"),
        ("src/early.py", "answer()", "answer(x=1)", "fork"),  # imported by conftest.py
    ],
)
def test_the_cheapest_right_way_is_taken(
    zoo: Any, screen: ValidatorPool, ask: Any, path: str, old: str, new: str, way: str
) -> None:
    before = screen.ways[way]
    assert ask(screen, zoo.edit(path, old, new), zoo.tests).passed
    assert screen.ways[way] == before + 1
