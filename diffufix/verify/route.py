"""Which way a candidate may be screened, from what its edit touches; touches nothing.

`swaps(original, candidate)` names the functions whose bodies alone differ, or says None: then
modules have to be imported anew. Everything outside one function must be the same text, and its
signature, decorators, docstring and kind the same syntax.
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from dataclasses import dataclass
from functools import cached_property

Function = ast.FunctionDef | ast.AsyncFunctionDef


def decode(data: bytes) -> tuple[str, str]:
    """(text, encoding) of a source file, newlines untouched; bad bytes become surrogates."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except (SyntaxError, UnicodeDecodeError):
        encoding = "utf-8"
    return data.decode(encoding, "surrogateescape"), encoding


@dataclass(frozen=True)
class Original:
    """The text of one file as the tests first saw it."""

    data: bytes

    @cached_property
    def decoded(self) -> tuple[str, str]:
        return decode(self.data)

    @property
    def text(self) -> str:
        return self.decoded[0]

    def encode(self, text: str) -> bytes:
        """Raises UnicodeEncodeError when the file's encoding has no place for the text."""
        return text.encode(self.decoded[1], "surrogateescape")

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines(keepends=True)

    @cached_property
    def functions(self) -> list[tuple[int, int, Function]]:
        """(first line with decorators, last line, node) of every function not inside another."""
        try:
            tree = _parse(self.text)
        except (SyntaxError, ValueError, RecursionError):
            return []
        found: list[tuple[int, int, Function]] = []

        def visit(node: ast.AST) -> None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, Function):
                    first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                    found.append((first, child.end_lineno or child.lineno, child))
                elif not isinstance(child, ast.Lambda):
                    visit(child)

        visit(tree)
        return found

    def swaps(self, candidate: str) -> list[tuple[str, int]] | None:
        """(name, first line) of the functions to exchange: one, none for equal texts."""
        if candidate == self.text:
            return []
        new = candidate.splitlines(keepends=True)
        head = _common(self.lines, new)
        tail = _common(self.lines[head:][::-1], new[head:][::-1])
        first, last = head + 1, len(self.lines) - tail  # changed lines; last < first: inserted
        for start, end, node in self.functions:
            if start <= first and last <= end and first <= end + 1:
                segment = "".join(new[start - 1 : end + len(new) - len(self.lines)])
                before = "".join(self.lines[start - 1 : end])
                if _same_but_body(before, segment, node.name):
                    return [(node.name, start)]
        return None


def _common(one: list[str], two: list[str]) -> int:
    count = 0
    for left, right in zip(one, two, strict=False):
        if left != right:
            break
        count += 1
    return count


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _same_but_body(before: str, after: str, name: str) -> bool:
    old, new = _only_function(before), _only_function(after)
    if old is None or new is None or type(old) is not type(new) or new.name != name:
        return False
    return _outside(old) == _outside(new)


def _only_function(segment: str) -> Function | None:
    try:
        body = _parse("if 1:\n" + segment if segment[:1] in " \t" else segment).body
    except (SyntaxError, ValueError, RecursionError):
        return None
    if len(body) == 1 and isinstance(body[0], ast.If):
        body = body[0].body
    return body[0] if len(body) == 1 and isinstance(body[0], Function) else None


def _outside(function: Function) -> tuple[object, ...]:
    """All of a function that lives outside its code object, and where its header lies."""
    parts = [function.args, *function.decorator_list, *getattr(function, "type_params", ())]
    parts += [function.returns] if function.returns else []
    return (
        [ast.dump(part) for part in parts],
        ast.get_docstring(function, clean=False),
        function.lineno,
    )
