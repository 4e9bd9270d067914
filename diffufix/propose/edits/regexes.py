"""Regular expressions and formats: one element of the text changed. Text only.

A quantifier, an anchor, a class of characters with one more; of a format its conversion. Only what
is read by `re`, or written raw, is taken for a regular expression.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from diffufix.propose.edits.code import Code
from diffufix.propose.edits.pool import callee
from diffufix.source.edits import Edit

LONG = 200  # characters of an expression that is looked at
_FUNCTIONS = frozenset(
    {"compile", "match", "search", "fullmatch", "findall", "finditer", "split", "sub", "subn"}
)
_MORE = (
    "-",
    "_",
    ".",
    "@",
    "/",
    "+",
    ":",
    ",",
    "\\s",
    "\\w",
    "\\d",
    " ",
    "#",
    "*",
    "'",
    "~",
    "=",
    "!",
)
_CLASSES = {"d": "w", "w": "S", "s": "S", "S": "w", "b": "B", "W": "s"}
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[*+?]\??|\{\d*,?\d*\}\??|.", re.S)


def regexes(code: Code) -> list[Edit]:
    """Edits of every regular expression on the wanted lines; some say the same."""
    found: list[Edit] = []
    patterns = {
        n.args[0]
        for n in code.nodes
        if isinstance(n, ast.Call) and n.args and callee(n) in _FUNCTIONS
    }
    for n in code.nodes:
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and code.wanted(n):
            text = code.get(n)
            raw = text[:2] in ('r"', "r'") and "\\" in text
            if (n in patterns or raw) and len(text) < LONG and text[-1:] in "'\"":
                start = code.text.span(n)[0]
                found += [Edit(start + a, start + b, t, "regex") for a, b, t in changes(text)]
    return found


def _counts(piece: str) -> Iterator[str]:
    """A quantifier in braces with a number one higher or lower, or with one bound fewer."""
    least, comma, most = piece.strip("{}?").partition(",")
    if most:
        yield from (f"{{{least},{int(most) + 1}}}", f"{{{least},{int(most) - 1}}}", f"{{{least},}}")
    if least:
        yield from (
            f"{{{int(least) + step}{comma}{most}}}" for step in (1, -1) if int(least) + step >= 0
        )
    if comma and least and most:
        yield f"{{{least}}}"
    elif least and not comma:
        yield from (f"{{{least},}}", f"{{1,{least}}}")


def changes(literal: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, text) in a literal, its quotes included."""
    prefix = len(literal) - len(literal.lstrip("rRuU"))
    quotes = 3 if literal[prefix : prefix + 3] in ('"""', "'''") else 1
    begin, end = prefix + quotes, len(literal) - quotes
    inside, quote = literal[begin:end], literal[prefix]
    if inside.startswith("^"):
        yield begin, begin + 1, ""
    else:
        yield begin, begin, "^"
    if inside.endswith("$"):
        yield end - 1, end, ""
    else:
        yield end, end, "$"
    for found in _PIECE.finditer(inside):
        a, b, piece = begin + found.start(), begin + found.end(), found.group()
        if piece[0] in "*+?":
            yield from ((a, b, other) for other in ("*", "+", "?", "*?", "+?", ""))
        elif piece[0] == "{":
            yield from ((a, b, other) for other in (*_counts(piece), "*", "+", "?", ""))
        elif piece[0] == "[" and len(piece) > 1:
            yield from ((b - 1, b - 1, more) for more in _MORE if more not in (piece, quote))
            yield from ((a + 1, a + 1, "^"), (b, b, "+"), (b, b, "*"), (b, b, "?"))
        elif piece[0] == "\\" and len(piece) == 2:
            if piece[1] in _CLASSES:
                yield a + 1, b, _CLASSES[piece[1]]
            yield from ((b, b, more) for more in ("+", "*", "?"))
        elif piece == ".":
            yield a, b, "\\."
            yield a, b, r"[\s\S]"
        elif piece == ")":
            yield from ((b, b, more) for more in ("?", "*", "+"))
        elif piece == "(" and not inside.startswith("?", found.end()):
            yield b, b, "?:"
        elif piece.isalnum() or piece in " -_/:":
            yield b, b, "?"
