"""The functions and statements of one source file, by line; reads that file only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from diffufix.source.syntax import parse

MODULE = "<module>"
Span = tuple[int, int]  # first and last line, 1-based, inclusive
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
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

    functions: tuple[Function, ...]
    module: Function
    lambdas: frozenset[int]  # lines of module-level statements that hold code to be run later

    def owner(self, line: int) -> Function:
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
        Function(
            name,
            _first_line(node),
            _last_line(node),
            _statements(node.body),
            _first_line(node.body[0]) - 1,
        )
        for name, node in _outermost(tree.body, "")
    )
    held = {line for each in functions for line in range(each.first_line, each.last_line + 1)}
    last = max((_last_line(statement) for statement in tree.body), default=1)
    own = {line: span for line, span in _statements(tree.body).items() if line not in held}
    lambdas = {
        line
        for statement in tree.body
        if any(isinstance(node, ast.Lambda) for node in ast.walk(statement))
        for line in range(statement.lineno, _last_line(statement) + 1)
    }
    return Source(functions, Function(MODULE, 1, last, own), frozenset(lambdas - held))


def _outermost(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, _Function]]:
    """Functions that no other function holds, with their qualified names."""
    for node in body:
        if isinstance(node, _Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _outermost(node.body, f"{prefix}{node.name}.")
        else:
            for block in _blocks(node):
                yield from _outermost(block, prefix)


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The blocks of a compound statement: bodies, else branches, handlers, cases."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block
    for part in [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]:
        yield part.body


def _statements(body: list[ast.stmt]) -> dict[int, Span]:
    """Each line of these statements and of those inside them -> its own statement's lines."""
    spans: dict[int, Span] = {}
    for node in body:
        inner = [block for block in _blocks(node) if block]
        first = _first_line(node)
        last = _last_line(node)
        if inner:
            last = max(first, min(min(_first_line(block[0]) for block in inner) - 1, last))
        spans.update(dict.fromkeys(range(first, last + 1), (first, last)))
        for block in inner:
            for line, span in _statements(block).items():
                spans.setdefault(line, span)
    return spans


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
