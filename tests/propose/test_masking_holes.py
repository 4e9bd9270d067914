"""Holes of small functions of every shape, and offsets in texts of every kind."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.propose.holes import holes
from diffufix.source.edits import splice
from diffufix.source.functions import docstring_of, find_function, functions
from diffufix.source.spans import Text, lexical_tokens
from diffufix.types import Hole, Kind


def of(source: str, name: str = "f") -> list[Hole]:
    node = find_function(ast.parse(source), name, 1)
    assert node is not None
    return holes(source, node)


def texts(source: str, kind: Kind, name: str = "f") -> list[str]:
    return [source[h.start : h.end] for h in of(source, name) if h.kind is kind]


def lefts(source: str, name: str = "f") -> set[str]:
    """The last line before every insertion point."""
    points = [h for h in of(source, name) if h.kind is Kind.INSERTION]
    return {source[: h.start].splitlines()[-1].strip() for h in points}


PLAIN = textwrap.dedent('''
    def f(a, b=10, *, quick=False):
        """Says "a < 1"."""
        total = a + b  # a: sum
        if total > 3 and not quick:
            total -= g(a, b)
        return total
''')


def test_kinds_of_a_plain_function() -> None:
    expressions = texts(PLAIN, Kind.EXPRESSION)
    for wanted in (
        *("total", "a", "b", "+", "=", ">", "3", "and", "not", "quick", "-=", "g"),
        *("a + b", "total > 3", "not quick", "total > 3 and not quick", "g(a, b)", "a, b"),
        *("10", "False"),  # default values
    ):
        assert wanted in expressions, wanted
    assert {"def", "f", "*", '"""Says "a < 1"."""', "a: sum", "(", ",", ":"}.isdisjoint(expressions)
    statements = texts(PLAIN, Kind.STATEMENT)
    assert statements == [
        *("total = a + b", "if total > 3 and not quick:", "total -= g(a, b)", "return total"),
    ]
    branch = "if total > 3 and not quick:\n        total -= g(a, b)"
    blocks = texts(PLAIN, Kind.BLOCK)
    assert branch in blocks
    assert f"total = a + b  # a: sum\n    {branch}" in blocks
    assert lefts(PLAIN) == {
        '"""Says "a < 1"."""', "total = a + b", "if total > 3 and not quick:", "total -= g(a, b)",
        "return total",
    }  # fmt: skip


def test_names_of_the_signature_are_never_masked() -> None:
    first = PLAIN.index('"""')
    masked = [PLAIN[h.start : h.end] for h in of(PLAIN) if h.start < first]
    assert masked == ["10", "False"]


def test_body_of_more_than_a_block() -> None:
    source = "def f():\n    a = 1\n    b = 2\n    c = 3\n    return a\n"
    assert texts(source, Kind.BODY) == ["a = 1\n    b = 2\n    c = 3\n    return a"]


@pytest.mark.parametrize(
    "source",
    [
        "def f(x): return x + 1\n",
        "def f(x): y = x; return y\n",
        "async def f(x):\n    async with x as y:\n        await y.go()\n    return 1\n",
        "@wraps(g)\n@other\ndef f(x):\n    return x\n",
        "class A:\n    @property\n    def f(self):\n        return self.x\n",
        "def f(x):\n    def inner(y=2):\n        '''Doc.'''\n        return y\n    return inner\n",
        "def f(x):\n    match x:\n        case [1, *rest] if rest:\n            return rest\n"
        "        case {'k': v}:\n            return v\n        case _:\n            pass\n",
        'def f(x):\n    return f"{x + 1:>{x}} and {x!r}" + rf"\\{x}"\n',
        "def f(x):\n    try:\n        g(x)\n    except* ValueError as e:\n        raise e\n"
        "    else:\n        pass\n    finally:\n        h()\n",
        "def f(*a: int, **k: str) -> dict[str, int]:\n    return {**k, 'n': len([*a])}\n",
        "def f(x):\n    return [a for b in x if b for a in b if a], (lambda q=1: q)\n",
        "def f(x):\n    return (x\n        + 1)  # tail\n    # after\n",
        "def f(x):\n    if (y := x):\n        del x[1:2, ...]\n    elif x:\n        global z\n",
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_every_shape_has_valid_holes(source: str, ends: str) -> None:
    source = source.replace("\n", ends)
    name = functions(ast.parse(source))[0][0]
    found = of(source, name)
    assert found
    text = Text(source)
    node = find_function(ast.parse(source), name, 1)
    assert node is not None
    for hole in found:
        piece = source[hole.start : hole.end]
        assert piece == piece.strip()
        assert splice(source, hole, piece) == source
        assert text.span(node)[0] < hole.start <= hole.end <= text.span(node)[1]
    flat = source.replace(ends, "\n")
    mapped = [source[h.start : h.end].replace(ends, "\n") for h in found]
    assert mapped == [flat[h.start : h.end] for h in of(flat, name)]


def test_inner_functions_belong_to_the_outer_one() -> None:
    source = "def f(x):\n    def inner(y):\n        return y * 2\n    return inner(x)\n"
    assert [name for name, _ in functions(ast.parse(source))] == ["f"]
    assert "y * 2" in texts(source, Kind.EXPRESSION)
    assert "def inner(y):" in texts(source, Kind.STATEMENT)
    assert "def inner(y):" in lefts(source)


def test_functions_in_branches_classes_and_handlers() -> None:
    source = textwrap.dedent("""
        if a:
            def one(): pass
        else:
            def two(): pass
        try:
            class B:
                class C:
                    def three(self): pass
        except E:
            def four(): pass
    """)
    names = [name for name, _ in functions(ast.parse(source))]
    assert names == ["one", "two", "B.C.three", "four"]


def test_the_nearest_of_two_functions_of_a_name() -> None:
    source = "if a:\n    def f(): return 1\nelse:\n    def f(): return 2\n"
    tree = ast.parse(source)
    for line in (2, 4):
        node = find_function(tree, "f", line)
        assert node is not None
        assert node.lineno == line
    assert find_function(tree, "g", 1) is None


def test_a_module_offers_its_own_statements_only() -> None:
    source = '"""Doc."""\nimport os\n\nLIMIT = 10\n\n\ndef f():\n    return 1\n\n\nNAMES = ["a"]\n'
    pieces = {source[h.start : h.end] for h in holes(source, ast.parse(source))}
    assert {"LIMIT = 10", '["a"]', "10"} <= pieces
    assert {"import os", "os", "1", "return 1", '"""Doc."""'}.isdisjoint(pieces)


def test_match_statements_and_handlers_are_entered() -> None:
    source = "def f(x):\n    match x:\n        case 1:\n            y = 1\n"
    source += "    try:\n        y = 2\n"
    source += "    except E:\n        y = 3\n    finally:\n        y = 4\n"
    assert {"y = 1", "try:", "y = 2", "y = 3", "y = 4"} <= set(texts(source, Kind.STATEMENT))


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("def f():\n    é = 'äöü€😀'; y = é + '😀'\n    return y\n", "é + '😀'"),
        ("def f():\n\tif x:\n\t\treturn 'ü' + x\n", "'ü' + x"),
        ("\x0cdef f():\n    ü = 1\n\x0c    return ü * 2\n", "ü * 2"),
        ("x = 1\rdef f():\r    return 'ü', x - 2\r", "x - 2"),
        ("def f():\r\n    a = '''ü\r\n'''; return a + 'é'\r\n", "a + 'é'"),
        (b"def f():\n    return '\xe9\xff' + b\n".decode("latin-1"), "'éÿ' + b"),
        ("def f():\n    return '\u2028\x0b\x1c' + b\n", "'\u2028\x0b\x1c' + b"),
    ],
)
def test_offsets_in_texts_of_every_kind(source: str, wanted: str) -> None:
    assert wanted in texts(source, Kind.EXPRESSION)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("aé€😀\u2028ß ", max_size=6), min_size=1, max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_tokens_and_nodes_agree_on_strings(strings: list[str], ends: str) -> None:
    """`tokenize` counts characters and `ast` UTF-8 bytes; both are turned into offsets."""
    lines = [f"    v{i} = {s!r}; w = {s!r}" for i, s in enumerate(strings)]
    source = ends.join(["def f():", *lines, ""])
    text = Text(source)
    tree = ast.parse(source)
    nodes = {text.span(n) for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    tokens = [t for t in lexical_tokens(text) if t.type == "string"]
    assert {(t.start, t.end) for t in tokens} == nodes
    assert all(source[t.start : t.end] == t.string for t in tokens)
    last = len(strings) + 1
    assert [t for t in lexical_tokens(text, 2, last) if t.type == "string"] == tokens


def test_suspicion_is_the_highest_of_the_lines_touched() -> None:
    node = find_function(ast.parse(PLAIN), "f", 1)
    assert node is not None
    lines = {4: 0.25, 6: 1.0, 7: 0.5}
    by_text: dict[str, float] = {}
    for hole in holes(PLAIN, node, lines):
        by_text.setdefault(PLAIN[hole.start : hole.end], hole.suspicion)
    assert by_text["total = a + b"] == 0.25
    assert by_text["if total > 3 and not quick:"] == 0.0
    assert by_text["if total > 3 and not quick:\n        total -= g(a, b)"] == 1.0
    assert by_text["g(a, b)"] == 1.0
    assert by_text["return total"] == 0.5
    assert all(hole.suspicion == 1.0 for hole in holes(PLAIN, node))


def test_docstrings() -> None:
    for source, has in [
        ("def f():\n    'doc'\n", True),
        ("def f():\n    b'doc'\n    return 1\n", False),
        ("def f():\n    f'doc'\n    return 1\n", False),
        ("def f(): return 1\n", False),
    ]:
        node = functions(ast.parse(source))[0][1]
        assert (docstring_of(node) is not None) == has
    assert docstring_of(ast.parse("(lambda: 1)").body[0].value) is None  # type: ignore[attr-defined]
    (hole,) = of("def f():\n    'doc'\n")  # coverage sees its line run: it can be a suspect
    assert (hole.start, hole.kind) == (18, Kind.INSERTION)


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    # note: this\n    return x\n",
        "def f(x):\n    if x:  # one: two\n        # three: four\n        return x\n",
    ],
)
def test_no_hole_touches_the_inside_of_a_comment(source: str) -> None:
    inside = {i for i in range(len(source)) if "#" in source[:i].rpartition("\n")[2]}
    assert not [h for h in of(source) if {h.start, h.end} & inside]
