"""Properties of holes over the sources of the standard library: code as people write it."""

from __future__ import annotations

import ast
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from diffufix.propose.holes import holes
from diffufix.source.edits import splice
from diffufix.source.functions import FunctionNode, docstring_of, functions
from diffufix.source.spans import Text
from diffufix.types import Hole, Kind

SENTINEL = "\x00⟦here⟧\x00"  # occurs in no source


@cache
def library() -> tuple[Path, ...]:
    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"site-packages", "test", "tests", "idle_test"}
    return tuple(f for f in sorted(root.rglob("*.py")) if skipped.isdisjoint(f.parts))


def sources(step: int, first: int = 0) -> Iterator[tuple[str, str, ast.Module]]:
    """(name, text with its own line ends, tree) of every `step`-th file that is valid Python."""
    for path in library()[first::step]:
        try:
            with open(path, "rb") as file:
                encoding, _ = tokenize.detect_encoding(file.readline)
            text = path.read_bytes().decode(encoding)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield path.name, text, ast.parse(text)
        except (SyntaxError, UnicodeDecodeError, ValueError, RecursionError):
            continue


def check_function(source: str, text: Text, node: FunctionNode) -> int:
    """Everything that holds for a function's holes; returns their number."""
    start, end = text.span(node)
    docstring = docstring_of(node)
    documented = text.span(docstring) if docstring else (start, start)
    statements = node.body[1:] if docstring else node.body
    found = holes(source, node)
    assert found == sorted(found)
    assert found
    assert statements or [hole.kind for hole in found] == [Kind.INSERTION]
    assert len({(hole.start, hole.end) for hole in found}) == len(found), "a span twice"
    # the body's span is a statement's or a block's where it has so few of them
    assert [hole.kind for hole in found].count(Kind.BODY) == (len(statements) > 3)
    piece = source[start:end]
    for hole in found:
        assert start < hole.start <= hole.end <= end
        assert hole.end <= documented[0] or documented[1] <= hole.start, "in the docstring"
        assert (hole.start == hole.end) == (hole.kind is Kind.INSERTION)
        inside = Hole(hole.start - start, hole.end - start, hole.kind)
        original = piece[inside.start : inside.end]
        assert original == source[hole.start : hole.end] == original.strip()
        assert splice(piece, inside, original) == piece
        left, right = splice(piece, inside, SENTINEL).split(SENTINEL)
        assert (left, right) == (piece[: inside.start], piece[inside.end :])
    return len(found)


def check_files(step: int, first: int) -> int:
    count = 0
    for name, source, tree in sources(step, first):
        text = Text(source)
        for qualname, node in functions(tree):
            try:
                count += check_function(source, text, node)
            except AssertionError as error:
                raise AssertionError(f"{name}: {qualname}") from error
    return count


def test_every_hole_is_a_span_of_its_function_and_splices_exactly() -> None:
    assert check_files(step=25, first=7) > 10_000


@pytest.mark.slow
def test_every_hole_of_the_whole_library() -> None:
    assert check_files(step=1, first=0) > 300_000


def test_statements_blocks_and_bodies_can_be_passed_over() -> None:
    """What is called a statement, block or body is one where it stands."""
    count = 0
    for name, source, tree in sources(step=20, first=3):
        text = Text(source)
        for qualname, node in functions(tree)[:6]:
            start, end = text.span(node)
            line = source.rfind("\n", 0, start) + 1
            margin, piece = source[line:start], source[start:end]
            if margin.strip() or "@" in piece:  # decorators stay where they are
                continue
            for hole in holes(source, node):
                inside = Hole(hole.start - start, hole.end - start, hole.kind)
                original = piece[inside.start : inside.end]
                header = hole.kind is Kind.STATEMENT and original.endswith(":")
                if header or hole.kind in (Kind.EXPRESSION, Kind.INSERTION):
                    continue
                filled = splice(piece, inside, "pass")
                try:
                    ast.parse("if 1:\n" + margin + filled if margin else filled)
                except SyntaxError as error:
                    raise AssertionError(f"{name}: {qualname}: {original!r}") from error
                count += 1
    assert count > 1000
