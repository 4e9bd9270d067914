"""The functions and statements of one source file, by line; reads that file only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from diffufix.source.functions import FunctionNode, blocks, definitions, first_line, last_line
from diffufix.source.syntax import parse

MODULE = "<module>"
Span = tuple[int, int]  # first and last line, 1-based, inclusive


@dataclass(frozen=True)
class FunctionLines:
    """An outermost function, a method, or a module's own statements (`<module>`).

    `statements` maps each line to the lines of the statement it belongs to: all of a simple
    statement, only the header of a compound one. Headers of the function itself (decorators,
    signature) are not in it, for they run at import.
    """

    qualname: str
    first_line: int
    last_line: int
    statements: dict[int, Span] = field(compare=False)
    header_end: int = field(default=0, compare=False)  # the last line before its own statements

    @property
    def size(self) -> int:
        return self.last_line - self.first_line + 1


@dataclass(frozen=True)
class Source:
    """What a file consists of. Lines outside of every function belong to `module`."""

    functions: tuple[FunctionLines, ...]
    module: FunctionLines
    lambdas: frozenset[int]  # lines of lambdas outside of functions: code to be run later

    def owner(self, line: int) -> FunctionLines:
        """The function that holds `line`."""
        for function in self.functions:
            if function.first_line <= line <= function.last_line:
                return function
        return self.module


def read_source(path: Path) -> Source | None:
    """Parse a file (its encoding as Python reads it); None when it is missing or does not parse."""
    try:
        return _parse(path.read_bytes())
    except OSError:
        return None


@lru_cache(maxsize=256)
def _parse(text: bytes) -> Source | None:
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    functions = tuple(
        FunctionLines(
            found.qualname,
            found.first_line,
            found.last_line,
            _statements(found.node.body),
            first_line(found.node.body[0]) - 1,
        )
        for found in definitions(tree, nested=False)
    )
    held = {line for each in functions for line in range(each.first_line, each.last_line + 1)}
    last = max((last_line(statement) for statement in tree.body), default=1)
    own = {line: span for line, span in _statements(tree.body).items() if line not in held}
    lambdas = {
        line
        for node in _outside_functions(tree)
        if isinstance(node, ast.Lambda)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return Source(functions, FunctionLines(MODULE, 1, last, own), frozenset(lambdas - held))


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FunctionNode):
            yield child
            yield from _outside_functions(child)


def _statements(body: list[ast.stmt]) -> dict[int, Span]:
    """Each line of these statements and of those inside them -> its own statement's lines."""
    spans: dict[int, Span] = {}
    for node in body:
        inner = blocks(node)
        first = first_line(node)
        last = last_line(node)
        if inner:
            last = max(first, min(min(first_line(block[0]) for block in inner) - 1, last))
        spans.update(dict.fromkeys(range(first, last + 1), (first, last)))
        for block in inner:
            for line, span in _statements(block).items():
                spans.setdefault(line, span)
    return spans
