"""Where functions stand in a syntax tree: the one walk that everybody uses. Pure.

A function may stand in a module, in a class and in any block of either: `if`, `try`, `with`, `for`,
`while`, `match`, `async with`. `definitions` gives all of them, nested ones too; `functions` those
that no other function holds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
#: What holds statements: they, the handlers of `try` and the cases of `match`.
_HOLDERS = (ast.stmt, ast.ExceptHandler, ast.match_case)


@dataclass(frozen=True, eq=False)
class Definition:
    """A function and what it stands in, from the outside inwards (the module is left out)."""

    qualname: str  # with dots only: Class.method, outer.inner
    node: FunctionNode
    parents: tuple[ast.AST, ...] = ()

    @property
    def first_line(self) -> int:
        """That of its first decorator, or of `def`."""
        return first_line(self.node)

    @property
    def last_line(self) -> int:
        return last_line(self.node)


def definitions(tree: ast.AST, *, nested: bool = True) -> Iterator[Definition]:
    """Every function of a tree with its qualified name, in source order."""
    pending: list[tuple[ast.AST, str, tuple[ast.AST, ...]]] = [(tree, "", ())]
    while pending:
        node, prefix, parents = pending.pop()
        if isinstance(node, FunctionNode):
            yield Definition(prefix + node.name, node, parents)
            if not nested:
                continue
        if isinstance(node, FunctionNode | ast.ClassDef):
            prefix += f"{node.name}."
        held = (*parents, node) if node is not tree else parents
        inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, _HOLDERS)]
        pending += [(child, prefix, held) for child in reversed(inner)]


def functions(tree: ast.AST) -> list[tuple[str, FunctionNode]]:
    """Outermost functions and methods with their qualified names, in source order."""
    return [(found.qualname, found.node) for found in definitions(tree, nested=False)]


def find_function(tree: ast.AST, qualname: str, line: int) -> FunctionNode | None:
    """The outermost function of that name; of several the one nearest to the line."""
    named = [node for name, node in functions(tree) if name == qualname]
    return min(named, key=lambda node: abs(node.lineno - line), default=None)


def docstring_of(node: ast.AST) -> ast.Expr | None:
    """The docstring statement of a function, class or module."""
    body = getattr(node, "body", None)
    first = body[0] if isinstance(body, list) and body else None
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return None
    return first if isinstance(first.value.value, str) else None


def blocks(node: ast.AST) -> list[list[ast.stmt]]:
    """The blocks of a compound statement that are not empty, in source order: bodies, handlers,
    cases, else branches."""
    found: list[list[ast.stmt]] = []
    for name in ("body", "handlers", "cases", "orelse", "finalbody"):
        part = getattr(node, name, None)
        if not isinstance(part, list) or not part:
            continue
        if isinstance(part[0], ast.stmt):
            found.append(part)
        else:
            found += [each.body for each in part]
    return found


def first_line(node: ast.stmt) -> int:
    """The first line of a statement, decorators included."""
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
