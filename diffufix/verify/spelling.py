"""Small questions about one node of a syntax tree; touches nothing."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator

from diffufix.verify import vocabulary as words

_PARTS = re.compile(r"\.\s*([^\W\d]\w*)")


def is_dunder(name: str) -> bool:
    return len(name) > 4 and name[:2] == name[-2:] == "__"


def read_only(node: ast.AST) -> bool:
    """Read of an object that is no class for sure: a class of a class makes classes."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return False
    match node.value:
        case ast.Attribute(attr="__class__") | ast.Call(func=ast.Name(id="type")):
            return False
    return True


def is_pure(module: str, name: str) -> bool:
    """Whether this name of a module of the standard library is harmless."""
    if name == "*":
        return module in words.PURE and not words.PURE[module]
    if module in words.PURE:
        return name not in words.PURE[module].split() and name[:1] != "_"
    return name in words.SOME.get(module, "").split()


def is_module(full: str) -> bool:
    """Whether this dotted name is one of the standard library's modules, as far as we list it."""
    return full in words.PURE or full in words.SOME or full in ("concurrent", "urllib", "xml.sax")


def chain_of(node: ast.AST) -> tuple[ast.AST, list[str]]:
    """(what an attribute's chain begins with, the attributes in turn)."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return node, names[::-1]


def shown(node: ast.AST) -> str:
    try:
        return " ".join(ast.unparse(node).split())[:80]
    except (RecursionError, ValueError, MemoryError):
        return type(node).__name__


def opening(call: ast.Call, place: int = 1) -> str:
    """How `open` opens, its mode at that place: reading, writing, or not to be told."""
    mode: ast.expr | None = call.args[place] if len(call.args) > place else None
    for keyword in call.keywords:
        if keyword.arg == "mode":
            mode = keyword.value
        elif keyword.arg in (None, "opener"):
            return "anything"
    if mode is None:
        return "reading" if not any(isinstance(a, ast.Starred) for a in call.args) else "anything"
    if isinstance(mode, ast.Constant) and isinstance(mode.value, str):
        return "writing" if set(mode.value) & set("wax+") else "reading"
    return "anything"


def about_types(parent: ast.AST | None, node: ast.AST) -> bool:
    """`isinstance(x, type)`, `x is type`, `x: type`."""
    match parent:
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass")):
            return True
        case ast.Compare() | ast.arg() | ast.AnnAssign() | ast.BinOp(op=ast.BitOr()):
            return True
        case ast.Subscript(value=value):
            return value is node
        case ast.Tuple():
            return True
    return False


def spelled(node: ast.AST) -> Iterator[str]:
    """Every identifier that a node itself holds, in whatever role, of any syntax."""
    if isinstance(node, ast.Constant):
        return
    for label in node._fields:
        value = getattr(node, label, None)
        for word in value if isinstance(value, list) else (value,):
            if isinstance(word, str) and label != "type_comment":
                yield from word.split(".")


def folded(node: ast.AST) -> str | None:
    """The text that constants spell, added up; None for what is no text."""
    parts: list[str] = []
    stack = [node]
    while stack:
        match stack.pop():
            case ast.Constant(value=str(text)):
                parts.append(text)
            case ast.Constant(value=bytes(data)):
                parts.append(data.decode("latin-1"))
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                stack += [right, left]
            case ast.JoinedStr(values=values):
                stack += values[::-1]
            case ast.FormattedValue(value=ast.Constant() | ast.BinOp() | ast.JoinedStr() as value):
                stack.append(value)
            case ast.FormattedValue():
                parts.append("{}")
            case ast.BinOp(left=left, op=ast.Mod()):
                stack.append(left)
            case _:
                return None
    return "".join(parts)


def defined(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Attribute(attr=name, ctx=ast.Store()):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.ClassDef(name=name):
            yield name


def looks_into(text: str) -> Iterator[str]:
    """The attributes that a format string asks for."""
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        return
    for _, name, spec, _ in pieces:
        if name:
            yield from _PARTS.findall(name)
        if spec and "{" in spec:
            yield from looks_into(spec)
