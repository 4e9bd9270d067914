"""Is an edit worth a run? `sound` refuses before the tests what would be refused after them.

The rules are those of style.py that no real fix breaks: what compares with itself, assigns to
itself, has no effect, is decided by a constant, or makes code that is never reached. Only the
changed lines are looked at, so that it costs less than a run by far. Pure.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from diffufix.source.functions import blocks
from diffufix.trust.style import LEAVES, REFUSED, RULES

Lines = tuple[int, int]  # the first and the last, both counted


def sound(before: ast.AST, after: ast.AST, old: Lines, new: Lines) -> bool:
    """Whether the lines `new` of a tree break no more of the refusing rules than the lines `old` of
    the tree before did."""
    return not _faults(after, new) - _faults(before, old)


def _faults(tree: ast.AST, lines: Lines) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in _changed(tree, lines, found):
        for rule in RULES:
            found.update(name for name, _ in rule(node) if name in REFUSED)
    return found


def _changed(tree: ast.AST, lines: Lines, found: Counter[str]) -> Iterator[ast.AST]:
    """The nodes of statements that touch the lines; of compound ones the heads' and what is inside
    and touches them. Blocks that go on after they were left are noted."""
    first, last = lines
    for block in blocks(tree):
        found["unreachable"] += any(isinstance(each, LEAVES) for each in block[:-1])
        for statement in block:
            if (statement.end_lineno or last) < first or statement.lineno > last:
                continue
            if not blocks(statement):
                yield from ast.walk(statement)
                continue
            yield statement
            for child in ast.iter_child_nodes(statement):
                if isinstance(child, ast.expr):
                    yield from ast.walk(child)
                elif isinstance(child, ast.ExceptHandler):
                    yield child
            yield from _changed(statement, lines, found)
