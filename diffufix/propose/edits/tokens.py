"""Usual slips undone outside of expressions: tokens exchanged for others, other default values."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from diffufix.propose.edits.code import Code
from diffufix.propose.edits.slips import (
    AUGMENTED,
    BINARY,
    BITWISE,
    COMPARE,
    WORDS,
    other_numbers,
    other_strings,
)
from diffufix.source.edits import Edit
from diffufix.source.functions import FunctionNode

_GROUPS = [("binary", BINARY), ("binary", BITWISE), ("compare", COMPARE), ("augmented", AUGMENTED)]


def tokens(code: Code) -> Iterator[Edit]:
    """Words, operators, numbers and strings for others of their kind."""
    strings = sorted(
        {n.value for n in code.nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)
         and len(n.value) < 30}
    )  # fmt: skip
    keywords = _keywords(code)
    before = ""
    for token in code.tokens:
        string, start, end = token.string, token.start, token.end
        if not (token.type == "name" and before in ("def", "class")):
            for word in WORDS.get(string, ()):
                yield Edit(start, end, word, "word")
        if token.type == "op":
            for kind, group in _GROUPS:
                if string in group and not (string == "=" and start in keywords):
                    for other in group:
                        yield Edit(start, end, other, kind)
        elif token.type == "number":
            for text in other_numbers(string):
                yield Edit(start, end, text, "number")
        elif token.type == "string":
            for text in other_strings(string, strings):
                yield Edit(start, end, text, "string")
        before = string


def _keywords(code: Code) -> set[int]:
    """Where an `=` belongs to a keyword argument or an assignment that is no name's."""
    text, found = code.text, set()
    for n in code.nodes:
        if isinstance(n, ast.keyword) and n.arg:
            start = text.span(n)[0]
            found.add(code.source.find("=", start + len(n.arg)))
        elif isinstance(n, ast.Assign | ast.AnnAssign) and not isinstance(
            n.targets[0] if isinstance(n, ast.Assign) else n.target, ast.Name
        ):
            end = text.span(n.targets[-1] if isinstance(n, ast.Assign) else n.target)[1]
            if isinstance(n, ast.AnnAssign) or isinstance(n.targets[0], ast.Tuple):
                found.add(code.source.find("=", end))
    return found


def signature(code: Code) -> Iterator[Edit]:
    """Other default values, and defaults where there are none. Names stay as they are."""
    node = code.node
    if not isinstance(node, FunctionNode):
        return
    args = node.args
    for value in [*args.defaults, *(d for d in args.kw_defaults if d is not None)]:
        own = code.get(value)
        others = ["None", "True", "False", "0", "1", '""', "()"]
        yield from _defaults(code, value, (o for o in others if o != own))
        if isinstance(value, ast.Constant):
            numbers = other_numbers(own)
            yield from _defaults(code, value, [*numbers, *other_strings(own, [])])
    positional = [*args.posonlyargs, *args.args]
    free = positional[: len(positional) - len(args.defaults)]
    if free and free[-1].arg not in ("self", "cls") and free[-1].annotation is None:
        given = (f"{free[-1].arg}={v}" for v in ("None", "False", '""', "0"))
        yield from _defaults(code, free[-1], given)


def _defaults(code: Code, n: ast.AST, texts: Iterable[str]) -> Iterator[Edit]:
    start, end = code.text.span(n)
    for text in texts:
        yield Edit(start, end, text, "default")
