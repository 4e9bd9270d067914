"""What is worth learning from: filters for files and functions, and a quality score.

`file_fault` and `judge` name the reason for dropping something; what `judge` says of the rest is
the field `quality` of a corpus row, which docs/corpus.md defines for readers. Pure.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Set
from dataclasses import dataclass

from diffufix.source.functions import FunctionNode, docstring_of

LINES = (2, 120)  # of a function
LINE = 160  # characters
FILE = 1_000_000  # characters
NON_ASCII = 0.02  # share of characters

_GENERATED = re.compile(
    r"@generated|\bdo not (edit|modify)\b|auto-?generated|automatically generated"
    r"|generated (by|from|with)\b.*"
    r"(django|script|compiler|tool|generator|\.py\b|antlr|ply|cython|swig)",
    re.I,
)
#: What adds a path through a function, besides `and` and `or`.
_BRANCHES = (
    ast.If | ast.For | ast.AsyncFor | ast.While | ast.ExceptHandler | ast.IfExp | ast.comprehension
    | ast.Assert | ast.match_case
)  # fmt: skip


def file_fault(source: str) -> str:
    """Why nothing of a file should be read: too long, generated, minified, not English enough."""
    if len(source) > FILE:
        return "file too long"
    head = "\n".join(line for line in source[:3000].splitlines() if line.lstrip()[:1] == "#")
    if _GENERATED.search(head):
        return "generated file"
    lines = [line for line in source.splitlines() if line.strip()]
    if lines and (sum(map(len, lines)) / len(lines) > 110 or max(map(len, lines)) > 5000):
        return "minified file"
    return ""


def judge(node: FunctionNode, source: str, tested: Set[str]) -> tuple[str, float]:
    """Why a function should be left out ("" if it should not), and its quality in 0..1.

    The quality is a weighted sum of documented, typed, tested, computing, readable. `tested` holds
    the words that the project's tests mention.
    """
    fault = _surface_fault(node, source)
    if fault:
        return fault, 0.0
    shape = Shape.of(node)
    if shape.constants >= 40 and shape.constants > 0.6 * shape.expressions:
        return "data table", 0.0
    parts = [
        (0.2, _documented(node)),
        (0.15, _typed(node)),
        (0.2, float(node.name in tested and node.name[:2] != "__")),
        (0.3, _computing(shape)),
        (0.15, _readable(node, source, shape)),
    ]
    return "", round(sum(weight * value for weight, value in parts), 3)


@dataclass(frozen=True)
class Shape:
    """What one walk through a function counts. `paths`: one more than its branches (if, for, while,
    except, conditional, comprehension, case, assert, and/or)."""

    paths: int
    expressions: int
    constants: int
    names: frozenset[str]

    @classmethod
    def of(cls, node: ast.AST) -> Shape:
        paths, expressions, constants = 1, 0, 0
        names = set()
        for inner in ast.walk(node):
            if isinstance(inner, _BRANCHES):
                paths += 1
            elif isinstance(inner, ast.BoolOp):
                paths += len(inner.values) - 1
            if isinstance(inner, ast.expr):
                expressions += 1
                if isinstance(inner, ast.Name):
                    names.add(inner.id)
                elif isinstance(inner, ast.Constant):
                    constants += 1
        return cls(paths, expressions, constants, frozenset(names))


def _surface_fault(node: FunctionNode, source: str) -> str:
    lines = source.split("\n")
    if len(lines) < LINES[0]:
        return "one line"
    if len(lines) > LINES[1]:
        return "too many lines"
    if max(map(len, lines)) > LINE:
        return "too long a line"
    if not source.isascii() and sum(ord(c) > 127 for c in source) > NON_ASCII * len(source):
        return "much that is not ASCII"
    if node.name.startswith("test_") or any("fixture" in _dotted(d) for d in node.decorator_list):
        return "test or fixture"
    statements = node.body[1:] if docstring_of(node) else node.body
    return "no statements" if all(map(_is_stub, statements)) else ""


def _documented(node: FunctionNode) -> float:
    text = ast.get_docstring(node, clean=False) or ""
    words = len(text.split())
    return 0.0 if words < 3 else 1.0 if words <= 200 else 0.5


def _typed(node: FunctionNode) -> float:
    a = node.args
    named = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]
    asked = [arg.annotation for arg in named if arg.arg not in ("self", "cls")] + [node.returns]
    return sum(annotation is not None for annotation in asked) / len(asked)


def _computing(shape: Shape) -> float:
    """1 for 2 to 12 paths, less for plumbing (one path), falling to 0 at 30."""
    if shape.paths == 1:
        return 0.25
    return 1.0 if shape.paths <= 12 else max(0.0, (30 - shape.paths) / 18)


def _readable(node: FunctionNode, source: str, shape: Shape) -> float:
    """The mean of: 3 to 50 lines besides the docstring, nesting of at most four, and the share of
    names longer than two letters."""
    document = docstring_of(node)
    hidden = document.end_lineno - document.lineno if document and document.end_lineno else 0
    lines = source.count("\n") + 1 - hidden
    telling = sum(len(name) > 2 for name in shape.names) / len(shape.names) if shape.names else 1.0
    return ((3 <= lines <= 50) + (_depth(node.body) <= 4) + telling) / 3


def _depth(body: list[ast.stmt]) -> int:
    deepest = 0
    for statement in body:
        for name in ("body", "orelse", "finalbody"):
            inner = getattr(statement, name, [])
            chained = name == "orelse" and len(inner) == 1 and isinstance(inner[0], ast.If)
            if inner:
                deepest = max(deepest, _depth(inner) + (not chained))
        for handler in getattr(statement, "handlers", []):
            deepest = max(deepest, _depth(handler.body) + 1)
    return deepest


def _is_stub(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)  # `...` or a stray string
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        return "NotImplemented" in _dotted(statement.exc)
    return False


def _dotted(node: ast.expr) -> str:
    """The name that a decorator or an exception is called by."""
    while isinstance(node, ast.Call):
        node = node.func
    return ast.unparse(node)
