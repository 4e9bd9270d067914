"""Character spans of Python syntax: `ast` positions and lexical tokens as offsets into the text."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from bisect import bisect_right
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r|\n")

#: Operators whose replacement changes what an expression means.
OPERATORS = frozenset(
    {"+", "-", "*", "/", "//", "%", "**", "@", "<<", ">>", "&", "|", "^", "~"}
    | {"<", ">", "<=", ">=", "==", "!="}
    | {"+=", "-=", "*=", "/=", "//=", "%=", "**=", "&=", "|=", "^=", ">>=", "<<=", "="}
)


def lines_of(source: str) -> list[str]:
    """The lines with their ends, `\\n`, `\\r` or both."""
    return io.StringIO(source, newline="").readlines()


class Text:
    """A source text with the map from (line, column) pairs to character offsets."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.starts = [0, *(match.end() for match in _LINE_END.finditer(source))]

    @property
    def lines(self) -> list[str]:
        """The lines with their ends. Form feeds and the line ends of Unicode are none of Python."""
        return lines_of(self.source)

    def line_start(self, offset: int) -> int:
        """The offset at which the line of a character offset begins."""
        return self.starts[self.line_of(offset) - 1]

    def line_of(self, offset: int) -> int:
        """The 1-based line of a character offset."""
        return max(1, bisect_right(self.starts, offset))

    def at_column(self, line: int, column: int) -> int:
        """Offset of a 1-based line and a column in characters (as `tokenize` counts)."""
        return self.starts[line - 1] + column

    def at_byte(self, line: int, column: int) -> int:
        """Offset of a 1-based line and a column in UTF-8 bytes (as `ast` counts)."""
        start = self.starts[line - 1]
        head = self.source[start : start + column]
        if head.isascii():
            return start + column
        rest = self.source[start : self.starts[line] if line < len(self.starts) else None]
        return start + len(rest.encode("utf-8", "surrogatepass")[:column].decode("utf-8", "ignore"))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Start and end offset of a node that has a position."""
        return (
            self.at_byte(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self.at_byte(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )


@dataclass(frozen=True)
class Token:
    """A lexical token: its `tokenize` type name, text, and span."""

    type: str
    string: str
    start: int
    end: int


def lexical_tokens(text: Text, first: int = 1, last: int | None = None) -> list[Token]:
    """Names, numbers, strings and operators of a source, in order; of the lines first to last,
    if they are given, which must hold whole statements.

    Raises SyntaxError (or tokenize.TokenError) when the source does not tokenise.
    """
    kept = {
        tokenize.NAME: "name",
        tokenize.NUMBER: "number",
        tokenize.STRING: "string",
        tokenize.OP: "op",
    }
    # `tokenize` sees "\r" as no line end; offsets stay right because the length is kept
    begin = text.starts[first - 1]
    end = text.starts[last] if last is not None and last < len(text.starts) else None
    readable = re.sub(r"\r(?!\n)", "\n", text.source[begin:end])
    found = []
    for token in tokenize.generate_tokens(io.StringIO(readable, newline="").readline):
        if token.type in kept:
            span = (
                text.at_column(line + first - 1, column)
                for line, column in (token.start, token.end)
            )
            found.append(Token(kept[token.type], token.string, *span))
    return found
