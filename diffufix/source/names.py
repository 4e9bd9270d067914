"""Names that a piece of syntax uses, and those that it binds. Pure."""

from __future__ import annotations

import ast
import builtins

from diffufix.source.functions import FunctionNode

#: Names that every module knows without binding them.
GIVEN = frozenset(dir(builtins)) | {"__file__", "__name__", "__class__", "__all__"}


def loaded(tree: ast.AST) -> set[str]:
    """Every name that is read anywhere inside."""
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def bound(tree: ast.AST) -> set[str]:
    """Every name that is bound anywhere inside."""
    names: set[str] = set()
    for n in ast.walk(tree):
        if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load):
            names.add(n.id)
        elif isinstance(n, ast.arg):
            names.add(n.arg)
        elif isinstance(n, FunctionNode | ast.ClassDef):
            names.add(n.name)
        elif isinstance(n, ast.alias):
            names.add((n.asname or n.name).split(".")[0])
        elif isinstance(n, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and n.name:
            names.add(n.name)
        elif isinstance(n, ast.MatchMapping) and n.rest:
            names.add(n.rest)
        elif isinstance(n, ast.Global | ast.Nonlocal):
            names.update(n.names)
    return names


def imports_everything(tree: ast.AST) -> bool:
    """Whether a star import brings names that cannot be known here."""
    return any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree))
