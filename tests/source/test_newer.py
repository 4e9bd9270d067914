"""Syntax of a newer Python is read by this one, every node in its place."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from diffufix.source.newer import hidden, lowered
from diffufix.source.syntax import parse

NEWER = """\
def first[T: (int, str) = int](items: list[T], default: T) -> T:
    return items[0] if items else default

class Box[T,
          *Ts]:
    def é[K](self, x): return x > 50

type Score = int
type Pair[T] = tuple[T, T]

def shown(d, é):
    a = f"{d["é"]} and {"x" if d else 'y'!r:>{10}} {{no}}" ; after = 1
    b = f'{d['a'] + f"{d["b"]}"}' + rf"\\{d}{"é"}"
    c = t"{d} é" + f"{'\\n'.join(d)}"
    try:
        return a
    except ValueError, KeyError:
        return after > 1
    except* OSError as error: pass
"""
PLAIN = """\
# f"{d["a"]}" type X = int
def f(x):
    'def g[T](x): type'
    type = x[1]; s = f"{x} {x!r:>{10}} {x['a']}" + f'''{x["a"]}'''
    except_ = {"a": [1, 2], "b": lambda: (1, 2)}
    return type
"""


def test_every_node_is_where_it_was() -> None:
    source = NEWER.replace("    except* OSError as error: pass\n", "")
    tree = parse(source)
    plain = lowered(source)
    assert len(plain) == len(source)
    assert plain.count("\n") == source.count("\n")
    assert [len(a.encode()) for a in plain.splitlines()] == [
        len(a.encode()) for a in source.splitlines()
    ]
    names = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert {*names} == {"first", "Box", "é", "shown"}
    comparisons = [
        ast.get_source_segment(source, n) for n in ast.walk(tree) if isinstance(n, ast.Compare)
    ]
    assert comparisons == ["x > 50", "after > 1"]
    assert names["first"].lineno == 1
    assert ast.get_source_segment(source, names["first"].body[0]) == (
        "return items[0] if items else default"
    )
    assigned = [
        ast.get_source_segment(source, n)
        for n in ast.walk(tree)
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "after"
    ]
    assert assigned == ["after = 1"]


def test_plain_source_stays() -> None:
    assert lowered(PLAIN) == PLAIN
    assert not hidden(PLAIN)
    ast.parse(PLAIN)


def test_the_library_stays() -> None:
    """Nothing is taken for newer that is not."""
    for name in ("argparse", "dataclasses", "typing", "string", "textwrap", "enum", "ast"):
        with open(__import__(name).__file__ or "", encoding="utf-8") as file:
            text = file.read()
        assert parse(lowered(text)), name
        assert ast.dump(ast.parse(lowered(text))) == ast.dump(ast.parse(text)), name


@pytest.mark.parametrize("text", ["def f(:\n", "type X =\n", 'f"{', 'f"{d["a"', "def f[T(x): pass"])
def test_what_nobody_can_read(text: str) -> None:
    with pytest.raises(SyntaxError):
        parse(text)


def test_what_is_hidden_is_told() -> None:
    assert hidden(NEWER)['d["é"]'] == 1
    assert hidden('f"{open("x")}"') == {'open("x")': 1}


def test_candidates_may_not_hide_anything() -> None:
    from diffufix.verify.static import suspicion

    original = 'def f(d):\n    return f"{d["a"]}"\n'
    assert suspicion(original, original.replace('d["a"]', '__import__("os").getcwd()'))
    assert not suspicion(original, original.replace("return f", "return d + f"))


def test_this_python_is_new_enough_or_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import ast, sys; ast.parse(sys.stdin.read())"],
        input=NEWER.split("def shown")[0], text=True, capture_output=True,
    )  # fmt: skip
    assert (done.returncode == 0) == (sys.version_info >= (3, 13))


PIECES = [
    "x",
    " ",
    "\n",
    "(",
    ")",
    '"',
    "'''",
    "\\",
    ":",
    "f'",
    't"',
    "{",
    "}",
    "[",
    "class A[T]",
    "é",
]


@example(text='return "@x\\')
@given(text=st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_text_that_does_not_parse_is_lowered_to_some_text(text: str) -> None:
    assert isinstance(lowered(text), str)
