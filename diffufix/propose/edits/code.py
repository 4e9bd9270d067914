"""`Code`: a suspicious function (or a module's own statements) as those see it who enumerate edits.

An `Edit` replaces a span of the file by a text. `Code` says what there is to be edited and what
stands at hand to be written: names, values, conditions, statements. Touches nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from diffufix.propose.holes import own_statements
from diffufix.source.functions import FunctionNode, docstring_of
from diffufix.source.spans import Text, Token, lexical_tokens

SHORT = 60  # characters of an expression that is copied, wrapped or compared

Span = tuple[int, int]


class Code:
    """The text, the syntax and what is at hand. `lines` are those worth an edit; None: all."""

    def __init__(
        self,
        source: str,
        node: FunctionNode | ast.Module,
        lines: Mapping[int, float] | None = None,
    ) -> None:
        """Raises SyntaxError if the source does not tokenise."""
        self.source, self.node, self.text = source, node, Text(source)
        self.lines = {line for line, value in lines.items() if value > 0} if lines else None
        if isinstance(node, ast.Module):
            self.blocks = own_statements(node)
        else:
            self.blocks = [node.body[1:] if docstring_of(node) else node.body]
        self.blocks = [block for block in self.blocks if block]

    def get(self, node: ast.AST) -> str:
        start, end = self.text.span(node)
        return self.source[start:end]

    def wanted(self, node: ast.AST) -> bool:
        """Whether a node touches a line that is worth an edit; of what holds statements the head
        counts alone."""
        if self.lines is None:
            return True
        first: int = node.lineno  # type: ignore[attr-defined]
        last: int = node.end_lineno  # type: ignore[attr-defined]
        if isinstance(node, ast.stmt) and (inner := inner_blocks(node)):
            last = max(first, min(block[0].lineno for block in inner) - 1)
        return any(line in self.lines for line in range(first, last + 1))

    # -- what there is -----------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Everything inside, source order within a level, f-strings' insides left out (their
        positions are unreliable before Python 3.12)."""
        found: list[ast.AST] = []
        for block in self.blocks:
            for statement in block:
                found += walk(statement)
        return found

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: n for n in self.nodes for child in ast.iter_child_nodes(n)}

    @cached_property
    def tokens(self) -> list[Token]:
        """Lexical tokens of the statements on wanted lines."""
        found: list[Token] = []
        for block in self.blocks:
            start, end = self.text.span(block[0])[0], self.text.span(block[-1])[1]
            first, last = self.text.line_of(start), self.text.line_of(max(start, end - 1))
            for token in lexical_tokens(self.text, first, last):
                line = self.text.line_of(token.start)
                if start <= token.start < end and (self.lines is None or line in self.lines):
                    found.append(token)
        return found

    @cached_property
    def statements(self) -> list[tuple[list[ast.stmt], int]]:
        """Every statement, as its block and its place in it, outer ones first."""
        found: list[tuple[list[ast.stmt], int]] = []
        pending = list(self.blocks)
        while pending:
            block = pending.pop(0)
            found += [(block, index) for index in range(len(block))]
            for statement in block:
                pending += inner_blocks(statement)
        return found

    def margin(self, statement: ast.stmt) -> str | None:
        """The blanks before a statement; None where something else stands before it."""
        start = self.text.span(statement)[0]
        margin = self.source[self.source.rfind("\n", 0, start) + 1 : start]
        return None if margin.strip() else margin

    def line_end(self, offset: int) -> int:
        """The end of the line, where nothing but blanks and a comment follow; else the offset."""
        found = re.compile(r"[ \t]*(#[^\r\n]*)?(?=\r?\n|$)").match(self.source, offset)
        return found.end() if found else offset

    # -- what is at hand ---------------------------------------------------------------------------

    @cached_property
    def names(self) -> list[str]:
        """Variables and parameters of the function, the most used first."""
        counts: dict[str, int] = {}
        if isinstance(self.node, FunctionNode):
            for each in ast.walk(self.node.args):
                if isinstance(each, ast.arg):
                    counts[each.arg] = counts.get(each.arg, 0) + 1
        for n in self.nodes:
            if isinstance(n, ast.Name):
                counts[n.id] = counts.get(n.id, 0) + 1
            elif isinstance(n, ast.arg):
                counts[n.arg] = counts.get(n.arg, 0) + 1
        return sorted(counts, key=lambda name: -counts[name])

    @cached_property
    def called(self) -> set[str]:
        """Names that are only called: what does not serve as a value."""
        values = {n.id for n in self.nodes if isinstance(n, ast.Name)}
        functions = {
            n.func.id
            for n in self.nodes
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        used = {
            n.id
            for n in self.nodes
            if isinstance(n, ast.Name)
            and not (isinstance(p := self.parents.get(n), ast.Call) and p.func is n)
        }
        return (functions - used) & values

    @cached_property
    def variables(self) -> list[str]:
        """Names that serve as values."""
        return [name for name in self.names if name not in self.called]

    @cached_property
    def attributes(self) -> list[str]:
        return sorted({n.attr for n in self.nodes if isinstance(n, ast.Attribute)})

    @cached_property
    def values(self) -> list[ast.expr]:
        """Short expressions that are read."""
        return [
            n
            for n in self.nodes
            if isinstance(n, ast.expr)
            and isinstance(getattr(n, "ctx", ast.Load()), ast.Load)
            and not isinstance(n, ast.Slice | ast.Starred | ast.GeneratorExp | ast.Yield)
            and len(self.get(n)) < SHORT
        ]

    @cached_property
    def conditions(self) -> list[str]:
        """Texts of what is asked anywhere inside, without repeats."""
        found: dict[str, None] = {}
        for n in self.nodes:
            for test in tests_of(n):
                if len(text := self.get(test)) < SHORT and "\n" not in text:
                    found[text] = None
        return list(found)


def tests_of(n: ast.AST) -> Iterator[ast.expr]:
    """Conditions that a node asks, parts of `and` and `or` alone, too."""
    if isinstance(n, ast.If | ast.While | ast.IfExp | ast.Assert):
        yield n.test
    elif isinstance(n, ast.comprehension):
        yield from n.ifs
    elif isinstance(n, ast.BoolOp):
        yield from n.values
    elif isinstance(n, ast.Compare):
        yield n


def inner_blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks of a compound statement that is no function or class definition's header."""
    found = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    found += [handler.body for handler in getattr(statement, "handlers", [])]
    found += [case.body for case in getattr(statement, "cases", [])]
    return [block for block in found if isinstance(block, list) and block]


def walk(node: ast.AST) -> list[ast.AST]:
    """Like `ast.walk` in source order, but not into f-strings."""
    found: list[ast.AST] = []
    pending = [node]
    while pending:
        current = pending.pop()
        found.append(current)
        if not isinstance(current, ast.JoinedStr):
            pending.extend(reversed(list(ast.iter_child_nodes(current))))
    return found
