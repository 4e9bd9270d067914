"""One walk over functions: what is ranked can be edited, whatever block it stands in."""

from __future__ import annotations

import ast
import random
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.generate.stubs import functions_of
from diffufix.localize.source import MODULE, read_source
from diffufix.propose.candidates import EditTarget
from diffufix.source.file import SourceFile
from diffufix.source.functions import definitions, functions
from diffufix.source.spans import Text
from diffufix.types import SuspiciousFunction
from diffufix.verify.route import Original

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
BLOCKS = {
    "if": "if x:\n{}",
    "else": "if x:\n    pass\nelse:\n{}",
    "elif": "if x:\n    pass\nelif y:\n{}",
    "for": "for x in y:\n{}",
    "for-else": "for x in y:\n    pass\nelse:\n{}",
    "while": "while x:\n{}",
    "with": "with x:\n{}",
    "try": "try:\n{}\nfinally:\n    pass",
    "except": "try:\n    pass\nexcept E:\n{}",
    "except*": "try:\n    pass\nexcept* E:\n{}",
    "try*": "try:\n{}\nexcept* E:\n    pass",
    "try-else": "try:\n    pass\nexcept E:\n    pass\nelse:\n{}",
    "finally": "try:\n    pass\nfinally:\n{}",
    "match": "match x:\n    case 1:\n        pass\n    case _:\n{}",
    "class": "class C:\n{}",
}
FUNCTION = "def wanted(a):\n    return a + 1\n"


def suspects_of(path: Path, source: str) -> Iterator[SuspiciousFunction]:
    """Whatever localisation can name in a file that coverage has seen every statement of."""
    found = read_source(path)
    assert found is not None
    for function in (*found.functions, found.module):
        lines = function.statements
        if function.qualname == MODULE:
            lines = {line: span for line, span in lines.items() if line in found.lambdas}
        if lines:
            yield SuspiciousFunction(
                path.name, function.qualname, function.first_line, function.last_line, 1.0,
                dict.fromkeys(lines, 1.0),
            )  # fmt: skip


def check(path: Path) -> int:
    """Every suspect of a file has a hole on a suspicious line; returns how many there are."""
    source = SourceFile.read(path)
    count = 0
    for suspect in suspects_of(path, source.text):
        where = f"{path}: {suspect.qualname}, line {suspect.first_line}"
        holes = EditTarget(suspect, source.text).holes()
        assert any(hole.suspicion for hole in holes), where
        count += 1
    return count


def library() -> list[Path]:
    """Files of the standard library, its tests too."""
    return [
        path
        for path in sorted(LIBRARY.rglob("*.py"))
        if not {"site-packages", "dist-packages", "lib2to3"} & set(path.parts)
    ]


def test_every_suspect_of_the_standard_library_can_be_edited() -> None:
    chosen = random.Random(13).sample(library(), 24)
    assert sum(check(path) for path in chosen if read_source(path) is not None) > 200


@pytest.mark.slow
def test_every_suspect_of_more_of_the_library_can_be_edited() -> None:
    chosen = random.Random(14).sample(library(), 200)
    assert sum(check(path) for path in chosen if read_source(path) is not None) > 2000


@given(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=4), st.booleans())
@settings(max_examples=80, deadline=None)
def test_all_rooms_see_a_function_in_whatever_it_stands(nested: list[str], later: bool) -> None:
    text = "async " * later + FUNCTION
    for name in nested:
        depth = " " * (8 if name == "match" else 4)
        text = BLOCKS[name].format(textwrap.indent(text.rstrip("\n"), depth)) + "\n"
    classes = "C." * nested.count("class")
    name, file = f"{classes}wanted", SourceFile(text)

    assert [found.qualname for found in file.functions()] == [name]
    assert [found.qualname for found in functions_of("a.py", text)] == [name]
    (definition,) = Original(text.encode()).functions
    assert definition.qualname == name
    line = text.splitlines().index(next(s for s in text.splitlines() if "return a + 1" in s)) + 1
    suspect = SuspiciousFunction("a.py", name, line - 1, line, 1.0, {line: 1.0})
    subject = EditTarget(suspect, text)
    assert "a + 1" in {text[hole.start : hole.end] for hole in subject.holes()}
    hole = next(h for h in subject.holes() if text[h.start : h.end] == "a + 1")
    assert subject.change(hole, "a + 2") is not None
    changed = text[: hole.start] + "a + 2" + text[hole.end :]
    swaps = Original(text.encode()).swaps(changed)
    assert swaps is not None
    assert [swap[0] for swap in swaps] == ["wanted"]


def test_a_suspect_under_match_is_ranked_and_edited(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        "import sys\nmatch sys.platform:\n    case _:\n        def f():\n            return 1\n"
    )
    assert check(path) == 1


def test_a_module_offers_what_stands_in_its_classes_and_around_its_functions(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        "class Key:\n    '''Doc.'''\n    order = lambda self: 1 + 2\n    def f(self): return 3\n"
        "if (lambda: 4)():\n    def g(): return 5\n    TABLE = [lambda: 6]\n"
    )
    source = path.read_text()
    subject = EditTarget(
        SuspiciousFunction("a.py", MODULE, 1, 7, 1.0, dict.fromkeys(range(1, 8), 1.0)), source
    )
    pieces = {source[hole.start : hole.end] for hole in subject.holes()}
    assert {"1 + 2", "4", "6", "TABLE = [lambda: 6]"} <= pieces
    assert {"3", "5", "return 3", "'''Doc.'''"}.isdisjoint(pieces)
    assert check(path) == 3


def test_a_function_that_is_only_documented_can_be_given_a_body() -> None:
    source = 'def f():\n    """Doc."""\n'
    (hole,) = EditTarget(SuspiciousFunction("a.py", "f", 1, 2, 1.0, {2: 1.0}), source).holes()
    assert hole.start == hole.end == len(source) - 1


def test_definitions_are_in_source_order_and_know_what_they_stand_in() -> None:
    source = textwrap.dedent("""
        class A:
            @property
            def one(self):
                def two(): pass
                class B:
                    def three(self): pass
        try:
            def four(): pass
        except E:
            def five(): pass
        else:
            def six(): pass
    """)
    tree = ast.parse(source)
    found = list(definitions(tree))
    assert [each.qualname for each in found] == [
        "A.one", "A.one.two", "A.one.B.three", "four", "five", "six",
    ]  # fmt: skip
    assert [name for name, _ in functions(tree)] == ["A.one", "four", "five", "six"]
    assert [type(node).__name__ for node in found[2].parents] == [
        "ClassDef", "FunctionDef", "ClassDef",
    ]  # fmt: skip
    assert found[0].first_line == found[0].node.lineno - 1


def test_very_deep_trees_do_not_end_the_walk() -> None:
    body: list[ast.stmt] = [ast.parse(FUNCTION).body[0]]
    for _ in range(3 * sys.getrecursionlimit()):
        body = [ast.If(ast.Constant(True), body, [])]
    assert [name for name, _ in functions(ast.Module(body, []))] == ["wanted"]


@pytest.mark.parametrize("mark", ["\f", "\x0b", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_are_those_of_the_interpreter(mark: str, ends: str) -> None:
    """Characters that str.splitlines takes for line ends are none."""
    source = f'A = "one{mark}two"  # three{mark}four\n\n\ndef f(x):\n    return x + 1\n'
    source = source.replace("\n", ends)
    file = SourceFile(source)
    assert "".join(file.lines) == source
    (found,) = file.functions()
    assert file.lines[found.node.lineno - 1] == f"def f(x):{ends}"
    assert file.text_of(found) == f"def f(x):{ends}    return x + 1"
    original = Original(source.encode())
    assert original.swaps(source.replace("+ 1", "+ 2")) == [("f", 4, 4)]
    assert original.places("a.py", source.replace("+ 1", "+ 2")) == [("a.py", 4, 5, (5,))]


def test_a_text_without_an_end_of_line() -> None:
    assert Text("").lines == []
    assert Text("a").lines == ["a"]
    assert Text("a\n\nb").lines == ["a\n", "\n", "b"]
