"""What functions read that was made at import: constants, tables, class attributes, defaults.

Coverage says nothing of lines that run once, at import, whoever asked first. But a test that runs a
line which reads `TABLE` depends on the statement that bound it. Reads source files only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from diffufix.localize.source import Span
from diffufix.source.functions import FunctionNode
from diffufix.source.syntax import parse


@dataclass(frozen=True)
class Bindings:
    """Of one file: names bound outside of functions, by lines of their statements; what is read.

    `uses` are the names that such a statement reads. `imported` says for a local name which of a
    project's files may hold it, and under what name; `modules` says of a local name, with dots,
    which files may be the module of that name, `members` of an attribute on which names it is read.
    `headers` has the lines of defaults and decorators by the function's first line.
    """

    spans: dict[str, list[Span]] = field(default_factory=dict)
    uses: dict[Span, set[str]] = field(default_factory=dict)
    reads: dict[str, set[int]] = field(default_factory=dict)
    imported: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    modules: dict[str, tuple[str, ...]] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    headers: dict[int, set[int]] = field(default_factory=dict)


def read_bindings(root: Path, path: str) -> Bindings | None:
    """Those of a file below `root`; None when it is missing or does not parse."""
    try:
        return _parse((root / path).read_bytes(), path)
    except OSError:
        return None


@lru_cache(maxsize=256)
def _parse(text: bytes, path: str) -> Bindings | None:
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    found = Bindings()
    for statement in _outside(tree.body):
        span = (statement.lineno, statement.end_lineno or statement.lineno)
        for name in _bound(statement):
            found.spans.setdefault(name, []).append(span)
            found.uses.setdefault(span, set()).update(_read(statement))
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode):
            _function(node, found)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            _import(node, path, found)
    return found


def _outside(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Simple statements of a module and of its classes, those under `if` and `try`, too."""
    for statement in body:
        if isinstance(statement, FunctionNode):
            continue
        inner = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
        inner += [handler.body for handler in getattr(statement, "handlers", [])]
        if any(inner):
            for block in inner:
                yield from _outside(block)
        else:
            yield statement


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement gives a value, and those whose value it changes."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign) and statement.value is not None:
        targets = [statement.target]
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        function = statement.value.func
        targets = [function.value] if isinstance(function, ast.Attribute) else []
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                yield node.id


def _read(statement: ast.stmt) -> Iterator[str]:
    """Names of the same file that a statement reads."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, found: Bindings) -> None:
    for inner in node.body:
        for each in ast.walk(inner):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
                found.reads.setdefault(each.id, set()).add(each.lineno)
            elif isinstance(each, ast.Attribute):
                found.reads.setdefault(each.attr, set()).add(each.end_lineno or each.lineno)
                if isinstance(each.value, ast.Name | ast.Attribute):
                    found.members.setdefault(each.attr, set()).add(ast.unparse(each.value))
    defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
    lines = {
        line
        for each in [*defaults, *node.decorator_list]
        for line in range(each.lineno, (each.end_lineno or each.lineno) + 1)
    }
    if lines:
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        found.headers[first] = lines


def _import(node: ast.Import | ast.ImportFrom, path: str, found: Bindings) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            parts = alias.name.split(".")
            found.modules[alias.asname or alias.name] = _files(_ROOTS, parts)
        return
    folder = PurePosixPath(path).parent
    for _ in range(max(0, node.level - 1)):
        folder = folder.parent
    parts = node.module.split(".") if node.module else []
    roots = (folder,) if node.level else _ROOTS
    for alias in node.names:
        name = alias.asname or alias.name
        found.imported[name] = (_files(roots, parts), alias.name)
        found.modules[name] = _files(roots, [*parts, alias.name])


_ROOTS = (PurePosixPath(), PurePosixPath("src"))


def _files(roots: Sequence[PurePosixPath], parts: Sequence[str]) -> tuple[str, ...]:
    """Where a module of this name may lie."""
    bases = [root.joinpath(*parts) for root in roots]
    return tuple(path for base in bases for path in (f"{base}.py", str(base / "__init__.py")))
