"""Holes of a suspect, from fine to coarse. Pure.

Order and kinds follow where real one-statement fixes of Python fall (TSSB-3M): names, operators,
literals, arguments and whole expressions first; then statements, insertions, blocks, the body.
"""

from __future__ import annotations

import ast
import itertools
import keyword
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import groupby

from diffufix.source.functions import FunctionNode, blocks, docstring_of
from diffufix.source.spans import OPERATORS, Text, Token, lexical_tokens
from diffufix.types import Hole, Kind

MAX_BLOCK = 3  # statements in a block hole
MAX_LITERAL = 200  # characters of a string that is opened up
MAX_PIECES = 24  # of it that are holes of their own

_QUOTE = re.compile(r"[a-zA-Z]{0,2}(\"{3}|'{3}|\"|')")
_PIECE = re.compile(r"\\.|[^\W_]+(?:_[^\W_]+)*|[^\w\s]|_+", re.S)

_CONSTANTS = frozenset({"None", "True", "False"})
_CHANGEABLE_KEYWORDS = _CONSTANTS | frozenset(
    {"and", "or", "not", "is", "while", "break", "continue", "pass"}
)


def inside_strings(
    source: str, node: ast.AST, lines: Mapping[int, float] | None = None
) -> list[Hole]:
    """Holes within the string literals of a function, its docstring apart: the content as a whole,
    and each word, escape and mark in it, of the first MAX_PIECES."""
    text = Text(source)
    documented = docstring_of(node)
    found: dict[tuple[int, int], Hole] = {}
    for literal in _literals(node):
        if documented is not None and literal is documented.value:
            continue
        start, end = text.span(literal)
        opened = _QUOTE.match(source, start, end)
        if opened is None or end - start > MAX_LITERAL:
            continue
        start, end = opened.end(), end - len(opened[1])
        if start < end:
            suspicion = _suspicion(text, start, end, lines)
            found[start, end] = Hole(start, end, Kind.EXPRESSION, suspicion)
        for piece in itertools.islice(_PIECE.finditer(source, start, end), MAX_PIECES):
            suspicion = _suspicion(text, *piece.span(), lines)
            found.setdefault(piece.span(), Hole(*piece.span(), Kind.EXPRESSION, suspicion))
    return sorted(found.values())


def _literals(node: ast.AST) -> Iterator[ast.expr]:
    """String literals, f-strings as a whole."""
    pending = [node]
    while pending:
        each = pending.pop()
        text = isinstance(each, ast.Constant) and isinstance(each.value, str | bytes)
        if isinstance(each, ast.expr) and (text or isinstance(each, ast.JoinedStr)):
            yield each
        else:
            pending.extend(ast.iter_child_nodes(each))


def holes(
    source: str, node: FunctionNode | ast.Module, lines: Mapping[int, float] | None = None
) -> list[Hole]:
    """Every hole of a function (or a module's own statements), without duplicates.

    A hole's suspicion is the highest of the lines it touches; without `lines` all are 1. Of a
    module, statements on none of these lines are left out.
    Docstrings are never masked. Raises SyntaxError if the source does not tokenise.
    """
    text = Text(source)
    found: dict[tuple[int, int], Hole] = {}
    for start, end, kind in _spans(text, node, lines):
        if (start, end) not in found:
            found[start, end] = Hole(start, end, kind, _suspicion(text, start, end, lines))
    return sorted(found.values())


def _suspicion(text: Text, start: int, end: int, lines: Mapping[int, float] | None) -> float:
    if lines is None:
        return 1.0
    touched = range(text.line_of(start), text.line_of(max(start, end - 1)) + 1)
    return max((lines.get(line, 0.0) for line in touched), default=0.0)


def _spans(
    text: Text, node: FunctionNode | ast.Module, lines: Mapping[int, float] | None
) -> Iterator[tuple[int, int, Kind]]:
    if isinstance(node, ast.Module):
        tokens = lexical_tokens(text)
        for own in _own(node):
            run = own if isinstance(own, list) else [own]
            named = [s for s in run if lines is None or _suspicion(text, *text.span(s), lines)]
            statements = [s for s in named if isinstance(s, ast.stmt)]
            if statements:
                yield from _inside(text, statements, tokens)
            elif named:
                yield from _expressions(text, named[0])
        return
    docstring = docstring_of(node)
    statements = node.body[1:] if docstring else node.body
    if docstring and not statements:
        yield (end := text.span(docstring)[1]), end, Kind.INSERTION
        return
    signature = text.span(node)[0]
    first, last = text.span(statements[0])[0], text.span(statements[-1])[1]
    documented = text.span(docstring) if docstring else (first, first)
    tokens = lexical_tokens(text, text.line_of(signature), text.line_of(last))
    yield from _defaults(_between(tokens, signature, documented[0]))
    yield from _inside(text, statements, tokens)
    head = documented[1] if docstring else _header_end(tokens, _start(text, statements[0]))
    yield head, head, Kind.INSERTION
    yield first, last, Kind.BODY


def _defaults(signature: list[Token]) -> Iterator[tuple[int, int, Kind]]:
    """The names of a signature are its interface; only its default values may be wrong."""
    for token in signature:
        if token.type in ("number", "string") or token.string in _CONSTANTS:
            yield token.start, token.end, Kind.EXPRESSION


def _inside(
    text: Text, statements: list[ast.stmt], tokens: list[Token]
) -> Iterator[tuple[int, int, Kind]]:
    """All that statements which follow each other offer."""
    start, end = text.span(statements[0])[0], text.span(statements[-1])[1]
    for token in _between(tokens, start, end):
        if _is_hole(token.type, token.string):
            yield token.start, token.end, Kind.EXPRESSION
    for statement in statements:
        yield from _expressions(text, statement)
    yield from _statements(text, statements, tokens)


def _between(tokens: list[Token], start: int, end: int) -> list[Token]:
    return [token for token in tokens if start <= token.start and token.end <= end]


def _is_hole(kind: str, string: str) -> bool:
    if kind == "op":
        return string in OPERATORS
    if kind == "name" and keyword.iskeyword(string):
        return string in _CHANGEABLE_KEYWORDS
    return True


def own_statements(node: ast.AST) -> list[list[ast.stmt]]:
    """Runs of statements of a module, or of a class, that are in none of its functions."""
    return [own for own in _own(node) if isinstance(own, list)]


def _own(node: ast.AST) -> Iterator[list[ast.stmt] | ast.expr]:
    """What of a module runs when it is imported: runs of statements between its imports and
    functions, also those in classes; of blocks around functions and classes the inside and the
    expressions of the header."""
    for body in blocks(node):
        documented = body is getattr(node, "body", None) and docstring_of(node) is not None
        for split, run in groupby(body[documented:], key=_is_split):
            if not split:
                yield list(run)
                continue
            for statement in run:
                if isinstance(statement, FunctionNode | ast.Import | ast.ImportFrom):
                    continue
                if not isinstance(statement, ast.ClassDef):
                    yield from _header(statement)
                yield from _own(statement)


def _header(statement: ast.stmt) -> list[ast.expr]:
    return [part for part in ast.iter_child_nodes(statement) if isinstance(part, ast.expr)]


def _is_split(statement: ast.stmt) -> bool:
    """Whether it is not the module's own as a whole."""
    others = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    return any(isinstance(node, others) for node in ast.walk(statement))


def _expressions(text: Text, statement: ast.AST) -> Iterator[tuple[int, int, Kind]]:
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.expr | ast.keyword | ast.arg):
            yield *text.span(node), Kind.EXPRESSION
        # positions inside f-strings are not reliable before Python 3.12
        if not isinstance(node, ast.JoinedStr):
            pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Call) and len(node.args) + len(node.keywords) > 1:
            arguments = [text.span(child) for child in (*node.args, *node.keywords)]
            yield min(arguments)[0], max(end for _, end in arguments), Kind.EXPRESSION


def _statements(
    text: Text, body: list[ast.stmt], tokens: list[Token]
) -> Iterator[tuple[int, int, Kind]]:
    for index, statement in enumerate(body):
        start, end = text.span(statement)
        inner = blocks(statement)
        if inner:
            head = _header_end(tokens, _start(text, inner[0][0]))
            yield start, head, Kind.STATEMENT
            yield head, head, Kind.INSERTION
            yield start, end, Kind.BLOCK
        else:
            yield start, end, Kind.STATEMENT
        yield end, end, Kind.INSERTION
        for size in range(2, MAX_BLOCK + 1):
            if index + size <= len(body):
                yield start, text.span(body[index + size - 1])[1], Kind.BLOCK
        for block in inner:
            yield from _statements(text, block, tokens)


def _header_end(tokens: list[Token], body_start: int) -> int:
    """The end of `if …:` and its like: behind the colon, the last token before the body."""
    return tokens[bisect_left(tokens, body_start, key=lambda token: token.start) - 1].end


def _start(text: Text, statement: ast.stmt) -> int:
    """Where a statement begins, decorators included."""
    decorators = getattr(statement, "decorator_list", [])
    first = min((text.span(node)[0] for node in decorators), default=text.span(statement)[0])
    return text.source.rindex("@", 0, first) if decorators else first
