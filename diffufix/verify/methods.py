"""Which of its types decide for themselves how they compare and calculate; looks at a text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from diffufix.source.syntax import UNREADABLE, parse
from diffufix.verify.inside.values import DECIDING


def deciding(text: str) -> frozenset[str]:
    """`Outer.Inner.__eq__` for what a class binds, `*.__eq__` for what is set or named elsewhere;
    the qualified names are those of Python. Empty for a text that cannot be read."""
    try:
        return frozenset(_named(parse(text), ""))
    except UNREADABLE:
        return frozenset()


def _named(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inner = prefix
        match child:
            case ast.ClassDef(name=name):
                inner = f"{prefix}{name}."
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name in DECIDING:
                    yield prefix + name
                inner = f"{prefix}{name}.<locals>."
            case ast.Name(id=name, ctx=ast.Store()) if name in DECIDING:
                yield prefix + name
            case ast.alias() if (child.asname or child.name) in DECIDING:
                yield prefix + (child.asname or child.name)
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Constant(value=str(name)):
                if name in DECIDING:
                    yield f"*.{name}"
        yield from _named(child, inner)
