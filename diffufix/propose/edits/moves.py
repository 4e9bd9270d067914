"""Statements dropped, moved, guarded, freed: mutations of statements, backwards. Text only."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from diffufix.propose.edits.code import Code, inner_blocks
from diffufix.source.edits import Edit
from diffufix.source.functions import FunctionNode

_ENDS = ("return", "return None", "return False", "return True", "continue", "break")


def moves(code: Code) -> list[Edit]:
    """The edits of statements; some say the same."""
    maker = _Moves(code)
    made: list[Edit] = []
    for block, index in code.statements:
        if code.wanted(block[index]) and code.margin(block[index]) is not None:
            made += maker.of(block, index)
    return made


class _Moves:
    def __init__(self, code: Code) -> None:
        self.code, self.source = code, code.source
        self.newline = "\r\n" if "\r\n" in code.source else "\n"

    def of(self, block: list[ast.stmt], index: int) -> Iterator[Edit]:
        statement = block[index]
        yield from self._drop(block, index)
        yield from self._swap(block, index)
        if isinstance(statement, ast.If | ast.While):
            yield from self._branches(statement)
        for inner in inner_blocks(statement):
            yield from self._out_of(statement, inner)
        if index and (before := inner_blocks(block[index - 1])):
            yield from self._into(before[-1], statement)
        if isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Yield):
            yield self._of(statement, f"return {self.code.get(statement.value)}", "return")
            yield from self._assigned(statement.value)
        elif isinstance(statement, ast.Return):
            yield from self._returned(statement)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield self._of(statement, f"return {self.code.get(statement.value)}", "return")
        elif isinstance(statement, ast.AugAssign):
            yield from self._augmented(statement)
        elif isinstance(statement, ast.Raise):
            yield self._of(statement, "return", "return")
            yield self._of(statement, "pass", "pass")
        if index + 1 == len(block) and self._plain(statement):
            yield from self._more_behind(statement)

    def _of(self, statement: ast.stmt, text: str, kind: str) -> Edit:
        start, end = self.code.text.span(statement)
        return Edit(start, end, text, kind)

    def _plain(self, statement: ast.stmt) -> bool:
        return not inner_blocks(statement)

    # -- less --------------------------------------------------------------------------------------

    def _drop(self, block: list[ast.stmt], index: int) -> Iterator[Edit]:
        statement = block[index]
        start, end = self.code.text.span(statement)
        if len(block) == 1:
            yield Edit(start, end, "pass", "drop-statement")
            return
        first = self.source.rfind("\n", 0, start) + 1
        if self.source[first:start].strip():
            return
        behind = self.code.line_end(end)
        if self.source[behind : behind + 1] not in ("\r", "\n", ""):
            return
        if index:
            before = self.code.line_end(self.code.text.span(block[index - 1])[1])
            yield Edit(before, behind, "", "drop-statement")
        else:
            following = self.code.text.span(block[index + 1])[0]
            if self.source[behind:following].strip() == "":
                yield Edit(start, following, "", "drop-statement")

    def _swap(self, block: list[ast.stmt], index: int) -> Iterator[Edit]:
        if index + 1 >= len(block):
            return
        span, get = self.code.text.span, self.code.get
        one, two = block[index], block[index + 1]
        (start, end), (first, last) = span(one), span(two)
        if self.code.margin(one) == self.code.margin(two):
            text = get(two) + self.source[end:first] + get(one)
            yield Edit(start, last, text, "swap-statements")

    # -- branches ----------------------------------------------------------------------------------

    def _branches(self, statement: ast.If | ast.While) -> Iterator[Edit]:
        """A guard or a loop dropped or exchanged for the other; `else` and `elif` made `if`."""
        code = self.code
        start, end = code.text.span(statement)
        deep = code.margin(statement.body[0])
        margin = code.margin(statement) or ""
        if deep is not None and len(deep) > len(margin):
            last = code.text.span(statement.body[-1])[1]
            kept = self.source[code.text.span(statement.body[0])[0] : last]
            freed = kept.replace(f"\n{deep}", f"\n{margin}")
            if not statement.orelse:
                yield Edit(start, end, freed, "drop-guard")
        if not statement.orelse:
            return
        only = statement.orelse[0]
        last = code.text.span(statement.body[-1])[1]
        yield Edit(last, end, "", "drop-else")
        if isinstance(only, ast.If) and len(statement.orelse) == 1:
            first = code.text.span(only)[0]
            if self.source[first : first + 4] == "elif":
                yield Edit(first, first + 4, "if", "branch")
                head = code.text.span(only.test)[1]
                if not only.orelse:
                    yield Edit(first, head, "else", "branch")
        else:
            inside = code.margin(only)
            if inside is not None and len(inside) > len(margin):
                begin = code.text.span(only)[0]
                body = self.source[begin:end].replace(f"\n{inside}", f"\n{margin}")
                between = self.source[last:begin]
                if "else" in between:
                    yield Edit(last, end, f"{self.newline}{margin}{body}", "drop-else")

    def _out_of(self, statement: ast.stmt, inner: list[ast.stmt]) -> Iterator[Edit]:
        """The last statement of a block moves out of it, to where the compound statement ends."""
        last, margin, deep = inner[-1], self.code.margin(statement), self.code.margin(inner[-1])
        ends = self.code.text.span(last)[1] == self.code.text.span(statement)[1]
        if len(inner) < 2 or not ends or margin is None or deep is None:
            return
        start, end = self.code.text.span(last)
        body = self.source[start:end].replace(f"\n{deep}", f"\n{margin}")
        yield Edit(start - len(deep), end, margin + body, "indent")

    def _into(self, inner: list[ast.stmt], statement: ast.stmt) -> Iterator[Edit]:
        """A statement moves into the block before it."""
        margin, deep = self.code.margin(statement), self.code.margin(inner[-1])
        if margin is None or deep is None or isinstance(statement, FunctionNode | ast.ClassDef):
            return
        start, end = self.code.text.span(statement)
        body = self.source[start:end].replace(f"\n{margin}", f"\n{deep}")
        yield Edit(start - len(margin), end, deep + body, "indent")

    # -- other statements --------------------------------------------------------------------------

    def _assigned(self, value: ast.expr) -> Iterator[Edit]:
        """`x.strip()` alone becomes `x = x.strip()`; `f(x)` becomes `x = f(x)`."""
        if not isinstance(value, ast.Call):
            return
        start, end = self.code.text.span(value)
        text = self.code.get(value)
        owner = value.func.value if isinstance(value.func, ast.Attribute) else None
        for target in [owner, *value.args[:2]]:
            if isinstance(target, ast.Name | ast.Attribute):
                yield Edit(start, end, f"{self.code.get(target)} = {text}", "assign")

    def _returned(self, statement: ast.Return) -> Iterator[Edit]:
        if statement.value is not None:
            value = self.code.get(statement.value)
            yield self._of(statement, value, "drop-return")
            yield self._of(statement, f"yield {value}", "yield")
        for name in ("None", "True", "False", "self", *self.code.variables[:12]):
            if name in ("self",) and "self" not in self.code.names:
                continue
            yield self._of(statement, f"return {name}", "return")

    def _augmented(self, statement: ast.AugAssign) -> Iterator[Edit]:
        """`x += [y]` and `x.append(y)` are what one writes for the other."""
        target, value = self.code.get(statement.target), self.code.get(statement.value)
        if isinstance(statement.op, ast.Add):
            for method in ("append", "extend"):
                yield self._of(statement, f"{target}.{method}({value})", "assign")

    def _more_behind(self, statement: ast.stmt) -> Iterator[Edit]:
        """A block that ends otherwise: `return`, `continue`, `break` behind its last statement."""
        end = self.code.text.span(statement)[1]
        margin = self.code.margin(statement)
        if isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
            return
        for text in self._endings():
            yield Edit(end, end, f"{self.newline}{margin}{text}", "end")

    def _endings(self) -> Iterable[str]:
        yield from _ENDS
        yield from (f"return {name}" for name in self.code.variables[:8])
